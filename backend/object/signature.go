package object

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Sentinels of VerifySignature.
var (
	ErrUnsigned  = errors.New("commit is not signed")
	ErrSignature = errors.New("bad commit signature")
)

const (
	sshsigType      = "SSH SIGNATURE"
	sshsigMagic     = "SSHSIG"
	sshsigNamespace = "git"
	sshsigHash      = "sha512"
	maxSignature    = 16 << 10
)

// sshsig is the signature blob of OpenSSH's PROTOCOL.sshsig, after the magic.
type sshsig struct {
	Version       uint32
	PublicKey     []byte
	Namespace     string
	Reserved      string
	HashAlgorithm string
	Signature     []byte
}

// sshsigned is what is signed, after the magic.
type sshsigned struct {
	Namespace     string
	Reserved      string
	HashAlgorithm string
	Hash          []byte
}

// Fingerprint names a public key: the SHA-256 that `ssh-keygen -l` prints, in
// base64url, so that it fits into ref names.
func Fingerprint(key ssh.PublicKey) string {
	sum := sha256.Sum256(key.Marshal())
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Sign sets c.Signature to git's SSH signature by key. `git verify-commit`
// accepts it where the key is among the allowed signers.
func Sign(c *Commit, key ssh.Signer) error {
	payload, err := SigningPayload(c)
	if err != nil {
		return fmt.Errorf("sign commit: %w", err)
	}
	sig, err := key.Sign(rand.Reader, sshsigMessage(payload))
	if err != nil {
		return fmt.Errorf("sign commit: %w", err)
	}
	blob := ssh.Marshal(sshsig{1, key.PublicKey().Marshal(), sshsigNamespace, "", sshsigHash, ssh.Marshal(sig)})
	c.Signature = armor(append([]byte(sshsigMagic), blob...))
	return nil
}

// VerifySignature checks that the key in c's signature signed c, and returns
// that key's fingerprint. For a user's commit the fingerprint must be the first
// part of its Writer; a commit that claims another's writer is ErrSignature.
// Whether the key is trusted is the caller's to say.
func VerifySignature(c *Commit) (fingerprint string, err error) {
	if c.Signature == "" {
		return "", ErrUnsigned
	}
	payload, err := SigningPayload(c)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	key, err := verify(c.Signature, payload)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	fingerprint = Fingerprint(key)
	if owner, _, _ := strings.Cut(c.Writer, "."); owner != fingerprint {
		return "", fmt.Errorf("%w: made by %s for writer %s", ErrSignature, fingerprint, c.Writer)
	}
	return fingerprint, nil
}

func verify(armored string, payload []byte) (ssh.PublicKey, error) {
	data, err := unarmor(armored)
	if err != nil {
		return nil, err
	}
	var sig sshsig
	if err := ssh.Unmarshal(data, &sig); err != nil {
		return nil, err
	}
	if sig.Version != 1 || sig.Namespace != sshsigNamespace || sig.Reserved != "" || sig.HashAlgorithm != sshsigHash {
		return nil, fmt.Errorf("unknown version, namespace %.20q or hash %.20q", sig.Namespace, sig.HashAlgorithm)
	}
	key, err := ssh.ParsePublicKey(sig.PublicKey)
	if err != nil {
		return nil, err
	}
	var raw ssh.Signature
	if err := ssh.Unmarshal(sig.Signature, &raw); err != nil {
		return nil, err
	}
	return key, key.Verify(sshsigMessage(payload), &raw)
}

func sshsigMessage(payload []byte) []byte {
	sum := sha512.Sum512(payload)
	return append([]byte(sshsigMagic), ssh.Marshal(sshsigned{sshsigNamespace, "", sshsigHash, sum[:]})...)
}

// armor writes the text form as ssh-keygen does: lines of 70 characters.
func armor(blob []byte) string {
	text := base64.StdEncoding.EncodeToString(blob)
	var b strings.Builder
	b.WriteString("-----BEGIN " + sshsigType + "-----\n")
	for len(text) > 70 {
		b.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	b.WriteString(text + "\n-----END " + sshsigType + "-----\n")
	return b.String()
}

// isArmored is a cheap check of form, so that a signature cannot smuggle other
// headers into a commit.
func isArmored(s string) bool {
	_, err := unarmor(s)
	return err == nil
}

func unarmor(s string) ([]byte, error) {
	if len(s) > maxSignature {
		return nil, fmt.Errorf("signature has %d bytes", len(s))
	}
	block, rest := pem.Decode([]byte(s))
	if block == nil || len(rest) != 0 || block.Type != sshsigType || len(block.Headers) != 0 || armor(block.Bytes) != s {
		return nil, errors.New("not an armored SSH signature")
	}
	blob, ok := strings.CutPrefix(string(block.Bytes), sshsigMagic)
	if !ok {
		return nil, errors.New("not an SSH signature")
	}
	return []byte(blob), nil
}
