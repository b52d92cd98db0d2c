package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

// createKey makes the device key unless there is one, and its public half.
func createKey(dir, comment string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("generate the device key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return fmt.Errorf("encode the device key: %w", err)
	}
	if _, err := place(dir, KeyName, 0o600, pem.EncodeToMemory(block)); err != nil {
		return err
	}
	signer, err := loadKey(dir) // another process's, if it was faster
	if err != nil {
		return err
	}
	line := ssh.MarshalAuthorizedKey(signer.PublicKey())
	line = append(line[:len(line)-1], " "+comment+"\n"...)
	_, err = place(dir, PublicName, 0o644, line)
	return err
}

// loadKey reads the device key. One that others may read, or of another type,
// is refused.
func loadKey(dir string) (ssh.Signer, error) {
	path := dir + "/" + KeyName
	info, err := os.Stat(path)
	if err != nil {
		return nil, missing(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %#o lets others read it: %w", KeyName, info.Mode().Perm(), ErrKey)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", KeyName, ErrKey, err)
	}
	if t := signer.PublicKey().Type(); t != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("read %s: %s instead of ed25519: %w", KeyName, t, ErrKey)
	}
	return signer, nil
}
