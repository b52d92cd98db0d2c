// Package e2e tests the whole program as people use it: real mounts, a real
// sshd between two mirrors, real git on the stores.
package e2e
