package redact

import "bytes"

// options are the single letters that a command takes a secret after.
type options struct {
	letters  string
	attached bool   // "-phunter2" and not "-p hunter2"
	after    string // a word that must stand before it: "docker login -p"
}

// commands are the programs whose passwords people write after one letter, by their manual pages.
var commands = map[string]options{
	"mysql": {letters: "p", attached: true}, "mysqldump": {letters: "p", attached: true}, "mysqladmin": {letters: "p", attached: true},
	"mysqlimport": {letters: "p", attached: true}, "mysqlcheck": {letters: "p", attached: true}, "mysqlsh": {letters: "p", attached: true},
	"mariadb": {letters: "p", attached: true}, "mariadb-dump": {letters: "p", attached: true}, "mycli": {letters: "p", attached: true},
	"7z": {letters: "p", attached: true}, "sshpass": {letters: "p"}, "mongo": {letters: "p"}, "mongosh": {letters: "p"},
	"mongodump": {letters: "p"}, "mongorestore": {letters: "p"}, "mongoexport": {letters: "p"}, "mongoimport": {letters: "p"},
	"cqlsh": {letters: "p"}, "rabbitmqadmin": {letters: "p"}, "redis-cli": {letters: "a"}, "valkey-cli": {letters: "a"},
	"ldapsearch": {letters: "w"}, "ldapadd": {letters: "w"}, "ldapmodify": {letters: "w"}, "ldapdelete": {letters: "w"},
	"ldapwhoami": {letters: "w"}, "ldappasswd": {letters: "ws"}, "mosquitto_pub": {letters: "P"}, "mosquitto_sub": {letters: "P"},
	"sqlcmd": {letters: "P"}, "bcp": {letters: "P"}, "mssql-cli": {letters: "P"}, "zip": {letters: "P"}, "unzip": {letters: "P"},
	"ipmitool": {letters: "P"}, "snmpwalk": {letters: "cAX"}, "snmpget": {letters: "cAX"}, "snmpset": {letters: "cAX"},
	"docker": {letters: "p", after: "login"}, "podman": {letters: "p", after: "login"}, "helm": {letters: "p", after: "login"},
	"openssl": {letters: "k", after: "enc"},
	"nerdctl": {letters: "p", after: "login"}, "az": {letters: "p", after: "login"}, "oras": {letters: "p", after: "login"},
}

// maxCommand bounds how far before a flag its command is looked for.
const maxCommand = 256

// option looks at a flag with one dash: -ClientSecret x, -storepass x, mysql -px.
func (s *scan) option(i int) int {
	text := s.text
	if i > 0 && !is(text[i-1], isSpace) && !isQuote(text[i-1]) {
		return 0
	}
	end := span(text[:min(len(text), i+1+maxKey)], i+1, isToken)
	if end == i+1 {
		return 0
	}
	if o, ok := command(text, i); ok && o.attached && hasLetter(o.letters, text[i+1]) {
		return s.letter(i, end) // mysql -pSecret7 is no flag of the name pSecret7
	}
	if end > i+3 && s.r.names.verdict(text[i+1:end]).Secret() {
		return s.flag(i + 1)
	}
	switch text[i+1] {
	case 'p', 'P', 'a', 'w', 's', 'c', 'A', 'X', 'k':
		return s.letter(i, end)
	case 'u': // curl -ukim:…
		if bytes.Contains(text[max(0, i-maxCommand):i], []byte("curl ")) {
			return s.userArgument(i + 2)
		}
	}
	return 0
}

// letter masks what follows one letter if the command on its left takes a password there.
func (s *scan) letter(i, end int) int {
	o, ok := command(s.text, i)
	if !ok || !hasLetter(o.letters, s.text[i+1]) {
		return 0
	}
	switch {
	case o.attached || end > i+2:
		from := i + 2
		if from < len(s.text) && isQuote(s.text[from]) && end == from {
			from++
			end = quotedEnd(s.text, from, s.text[from-1], 0)
		} else {
			end = bareEnd(s.text, from, key{})
		}
		if placeholder(s.text[from:end]) {
			return 0
		}
		return s.emit(from, end, SecretName)
	case end+1 >= len(s.text) || s.text[end] == '"' && s.text[end+1] != ',' || s.text[end+1] == '-':
		return 0
	}
	return s.value(end, key{start: i + 1, end: end}, SecretName)
}

func hasLetter(letters string, c byte) bool {
	for k := range len(letters) {
		if letters[k] == c {
			return true
		}
	}
	return false
}

// A Command reads the arguments of a program one after the other: ["mysql", "-uroot", "-pSecret7"].
type Command struct {
	takes options
	due   bool // its letters mean something: what has to stand before them has come
}

// Argument reads the next one. It reports whether there is a secret in it, and whether the one after it is a secret.
func (c *Command) Argument(arg []byte) (secret, next bool) {
	if o, ok := commands[string(arg[bytes.LastIndexByte(arg, '/')+1:])]; ok {
		*c = Command{takes: o, due: o.after == ""}
		return false, false
	}
	c.due = c.due || c.takes.after != "" && string(arg) == c.takes.after
	switch {
	case !c.due || len(arg) < 2 || arg[0] != '-' || !hasLetter(c.takes.letters, arg[1]):
		return false, false
	case len(arg) == 2:
		return false, !c.takes.attached
	}
	return !placeholder(arg[2:]), false
}

// command finds the last program of the table in the words of the command line before i.
func command(text []byte, i int) (o options, ok bool) {
	start := i
	for lo := max(0, i-maxCommand); start > lo && text[start-1] != '\n' && text[start-1] != '|' && text[start-1] != ';'; start-- {
	}
	after := false
	for start < i {
		end := span(text[:i], start, isToken)
		if end == start {
			start++
			continue
		}
		if found, is := commands[string(text[start:end])]; is {
			o, ok, after = found, true, false
		}
		after = after || string(text[start:end]) == o.after
		start = end
	}
	return o, ok && (o.after == "" || after)
}
