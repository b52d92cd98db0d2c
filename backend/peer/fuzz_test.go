package peer

import (
	"bufio"
	"bytes"
	"reflect"
	"testing"
)

func newReader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }

// FuzzSession gives arbitrary bytes to a session, after a good greeting.
func FuzzSession(f *testing.F) {
	start := append([]byte(preamble()), appendFrame(nil, frameHello, encode(helloToWire(testHello("f"))))...)
	rec := record(f)
	f.Add(rec[bytes.Index(rec, []byte{0, 1, 0, 1}):])
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05Q\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := open(t, Options{Handler: takesPushes(nil)}, says(append(bytes.Clone(start), data...)))
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		s.Close()
	})
}

// FuzzGreeting gives them from the first byte on.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("bash: smfs: command not found\n"))
	f.Add(append([]byte(preamble()), "H\x00\x00\x00\x02{}"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		err := readPreamble(r)
		if err == nil {
			_, err = readHello(r)
		}
		if err != nil && !isClean(err.Error(), 1<<20) {
			t.Errorf("error with control characters: %q", err)
		}
	})
}

// FuzzFrame reads frames: every one that is read is written the same.
func FuzzFrame(f *testing.F) {
	f.Add(appendAck(appendFrame(nil, frameData, []byte("abc")), 7))
	f.Add([]byte("R\x00\x40\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			at := len(data) - r.Len()
			typ, n, err := readHeader(r)
			if err != nil {
				return
			}
			if int64(n) > typ.limit() {
				t.Fatalf("frame %c of %d bytes", typ, n)
			}
			body, err := readBody(r, n)
			if err != nil {
				return
			}
			if back := appendFrame(nil, typ, body); !bytes.Equal(back, data[at:at+len(back)]) {
				t.Fatalf("frame %q written as %q", data[at:], back)
			}
		}
	})
}

// FuzzMessages decodes messages: what is accepted comes back the same.
func FuzzMessages(f *testing.F) {
	f.Add(encode(helloToWire(testHello("f"))))
	f.Add(encode(packToWire("docs", commitID("h"), nil, 5)))
	f.Add(encode(wireJoin{Resource: "docs", IDs: []string{"a"}, Unite: true}))
	f.Add(encode(wireAnnounce{Order: 1, Resource: "docs", Head: wireID(commitID("h"))}))
	f.Add(encode(reply{Refusal: refusalToWire(&Refusal{Code: Fork, Message: "\x1b"})}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := parseHello(data); err == nil {
			again, err := parseHello(encode(helloToWire(h)))
			if err != nil || !reflect.DeepEqual(again, h) {
				t.Errorf("hello %+v, then %+v, %v", h, again, err)
			}
		}
		if a, n, err := parseAnnounce(data); err == nil {
			w := wireAnnounce{Order: n, Resource: a.Resource, Head: wireID(a.Head), Cover: coverToWire(a.Cover)}
			again, m, err := parseAnnounce(encode(w))
			if err != nil || m != n || !reflect.DeepEqual(again, a) {
				t.Errorf("announcement %+v, then %+v, %v", a, again, err)
			}
		}
		if p, err := parsePack(data, "push"); err == nil {
			again, err := parsePack(encode(packToWire(p.Resource, p.Head, p.Haves, p.Size)), "push")
			if err != nil || !reflect.DeepEqual(again, p) {
				t.Errorf("push %+v, then %+v, %v", p, again, err)
			}
		}
		parseJoin(data)
		parseJoined(data)
		if r, err := decode[reply](data, "reply"); err == nil && r.Refusal != nil {
			if err := refusalFromWire(r.Refusal); !isClean(err.Error(), 1<<20) {
				t.Errorf("refusal with control characters: %q", err)
			}
		}
	})
}

// FuzzURL parses URLs: what is accepted is safe to use, and its String means
// the same.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"host", "u@h:p", "ssh://u@[::1]:22/x", "[::1]:~/x", "ssh://h/~/x", "fe80::1", "ssh://h/%2e", "a:b:c", "ssh://[fe80::1%25eth0]/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			if !isClean(err.Error(), 1<<20) {
				t.Errorf("error with control characters: %q", err)
			}
			return
		}
		if u.Host == "" || u.Host[0] == '-' || u.User != "" && u.User[0] == '-' {
			t.Errorf("%q accepted as %+v", s, u)
		}
		again, err := ParseURL(u.String())
		if err != nil || *again != *u {
			t.Errorf("%q is %+v; %q is %+v, %v", s, u, u, again, err)
		}
	})
}

// FuzzConfigLine splits lines of ssh_config and matches patterns.
func FuzzConfigLine(f *testing.F) {
	f.Add(`Host "a b" !c,d* # e`, "dx")
	f.Add("IdentityFile=~/x", "")
	f.Fuzz(func(t *testing.T, line, host string) {
		_, args := splitConfigLine(line)
		matchList(args, host)
		if !matchPattern("*", host) || !matchPattern(host+"*", host) {
			t.Errorf("%q does not match itself", host)
		}
	})
}
