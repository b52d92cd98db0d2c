package backend

import (
	"errors"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("here", 3*3600)
	now := time.Date(2026, 11, 20, 15, 30, 0, 0, zone)
	for in, want := range map[string]string{
		"2026-05-01":           "2026-05-01T23:59:59+03:00",
		"2026-05-01 14:00":     "2026-05-01T14:00:00+03:00",
		"2026-05-01  14:00:07": "2026-05-01T14:00:07+03:00",
		"2026-05-01T14:00:07":  "2026-05-01T14:00:07+03:00",
		"2026-05-01T14:00:07Z": "2026-05-01T14:00:07Z",
		"14:00":                "2026-11-20T14:00:00+03:00",
		"15:31":                "2026-11-19T15:31:00+03:00",
		"now":                  "2026-11-20T15:30:00+03:00",
		"today":                "2026-11-20T23:59:59+03:00",
		"Yesterday":            "2026-11-19T23:59:59+03:00",
		"yesterday 08:00":      "2026-11-19T08:00:00+03:00",
		"last week":            "2026-11-13T15:30:00+03:00",
		"last month":           "2026-10-20T15:30:00+03:00",
		"90m":                  "2026-11-20T14:00:00+03:00",
		"1h30m":                "2026-11-20T14:00:00+03:00",
		"3d":                   "2026-11-17T15:30:00+03:00",
		"2w":                   "2026-11-06T15:30:00+03:00",
		"2 hours ago":          "2026-11-20T13:30:00+03:00",
		"1 day ago":            "2026-11-19T15:30:00+03:00",
		"0d":                   "2026-11-20T15:30:00+03:00",
	} {
		got, err := ParseTime(in, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q is %s, %v, not %s", in, got.Format(time.RFC3339), err, want)
		}
	}
	for _, in := range []string{"", "tomorrow", "last", "ago", "-3d", "-2h", "3", "3x", "25:00", "2026-13-01", "2026-05-01 soon", "now 10:00", "14:00 ago"} {
		if got, err := ParseTime(in, now); !errors.Is(err, ErrInvalid) || Hint(err) == "" {
			t.Errorf("%q is %s, %v", in, got, err)
		}
	}
}
