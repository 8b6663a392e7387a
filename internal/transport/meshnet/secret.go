package meshnet

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
)

const (
	MinSecret = 16 // bytes

	// What OWASP's Password Storage Cheat Sheet asks of PBKDF2-HMAC-SHA256 (2023).
	SecretRounds  = 600_000
	secretKeySize = 32                         // bytes
	secretSalt    = "github.com/iwanbk/bcache" // FIPS 140 asks for 16 bytes or more
)

// StretchSecret makes of the Secret the password that mesh gets; nil means none. Every node
// of a cluster gets the same. It takes a good part of a second: call it once.
//
// Mesh hashes its password once, so that whoever records a handshake or answers
// one can try guesses as fast as SHA-256 runs. This makes each guess cost 600,000
// rounds. The salt is a constant: there is no place for a random one that all nodes know,
// and with the ClusterName in it nobody could tell another name from another Secret. So
// guesses can be prepared for all clusters at once. It only slows guessing down: a secret
// of 32 random bytes is what makes it hopeless.
func StretchSecret(secret string) ([]byte, error) {
	if secret == "" {
		return nil, nil
	}
	key, err := pbkdf2.Key(sha256.New, secret, []byte(secretSalt), SecretRounds, secretKeySize)
	if err != nil { // in FIPS 140-only mode, which refuses short salts
		return nil, fmt.Errorf("bcache: stretch the Secret: %w", err)
	}
	return key, nil
}
