package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// escapeByte introduces two hexadecimal digits. It is SUB, "substitute", the
// control character meant for characters that cannot be shown; a SUB in a name
// is itself escaped, so that the mapping is one to one.
const escapeByte = 0x1a

// marshal is json.Marshal with every string escaped.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(mapStrings(reflect.ValueOf(v), escape).Interface())
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return data, nil
}

// unmarshal decodes data into v, a pointer, and takes the escapes back.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	p := reflect.ValueOf(v).Elem()
	p.Set(mapStrings(p, unescape))
	return nil
}

// escape makes any string valid UTF-8, and leaves ordinary ones as they are.
func escape(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, escapeByte) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == escapeByte || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "%c%02x", escapeByte, s[0])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// unescape is the inverse of escape. What is no escape stays as it is.
func unescape(s string) string {
	if strings.IndexByte(s, escapeByte) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == escapeByte && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

var timeType = reflect.TypeFor[time.Time]()

// mapStrings returns a copy of v with f applied to every string in it. It
// knows the kinds of values that the API is made of: structs of exported
// fields, slices, pointers and scalars.
func mapStrings(v reflect.Value, f func(string) string) reflect.Value {
	if v.Type() == timeType {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(f(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(mapStrings(v.Field(i), f))
		}
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(mapStrings(v.Index(i), f))
		}
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(mapStrings(v.Elem(), f))
	default:
		return v
	}
	return out
}
