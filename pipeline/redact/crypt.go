package redact

import "bytes"

// maxCrypt bounds the hash of a password, in bytes: yescrypt's are the longest, with at most 384.
const maxCrypt = 512

// minHash is the least that the last part of one has: md5crypt's 22 letters.
const minHash = 22

// cryptSchemes are what stands between the first two dollar signs of the hash of a password, by crypt(5) and the PHC string
// format (https://github.com/P-H-C/phc-string-format).
var cryptSchemes = []string{
	"1", "2", "2a", "2b", "2x", "2y", "5", "6", "7", "8", "9", "y", "gy", "apr1", "md5", "sha1", "scrypt", "bcrypt-sha256",
	"argon2i", "argon2d", "argon2id", "pbkdf2", "pbkdf2-sha256", "pbkdf2-sha512", "S", "P", "H",
}

// frameworkSchemes stand before the first dollar sign where Django or Werkzeug wrote the hash.
var frameworkSchemes = []string{"pbkdf2_sha256", "pbkdf2_sha1", "pbkdf2:sha256", "bcrypt_sha256", "bcrypt", "scrypt", "argon2", "sha1", "md5"}

// crypt masks the hash of a password, whose first dollar sign is at i: $2b$12$…, $argon2id$v=19$…, pbkdf2_sha256$260000$….
func (s *scan) crypt(i int) int {
	text := s.text[:min(len(s.text), i+maxCrypt)]
	end := i + 1
	for end < len(text) && (is(text[end], isToken) || bytes.IndexByte([]byte("./+=,$"), text[end]) >= 0) {
		end++
	}
	body := text[i+1 : end]
	last := bytes.LastIndexByte(body, '$')
	if last < 0 || len(body)-last-1 < minHash {
		return 0
	}
	scheme := body[:bytes.IndexByte(body, '$')]
	for _, known := range cryptSchemes {
		if string(scheme) == known {
			return s.emit(i, end, PasswordHash)
		}
	}
	for _, known := range frameworkSchemes {
		if at := schemeBefore(text, i, known); at >= 0 {
			return s.emit(at, end, PasswordHash)
		}
	}
	return 0
}

// schemeBefore returns where the scheme begins that ends before i, behind which may be costs ("scrypt:32768:8:1"); -1 for none.
func schemeBefore(text []byte, i int, scheme string) int {
	k := i
	for lo := max(0, i-24); k > lo && (is(text[k-1], isNumeral) || text[k-1] == ':'); k-- {
	}
	for _, end := range [...]int{i, k} {
		if at := end - len(scheme); hasAt(text, at, scheme) && (end == i || text[end] == ':') && (at == 0 || !is(text[at-1], isToken)) {
			return at
		}
	}
	return -1
}
