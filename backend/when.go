package backend

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TimeForms says, after "write", what ParseTime takes.
const TimeForms = `a time: 2026-05-01, "2026-05-01 14:00", 14:00, today, yesterday, "yesterday 14:00", "last week", or how long ago: 90m, 36h, 3d, 2w; a day means its end`

// ParseTime reads a time as people write it, in the zone of now: RFC 3339; a
// day (a date, today, yesterday) with or without a time of day; a time of day
// alone, when it was that last; an age, such as 2h, 3d or "2 weeks ago". A day
// alone stands for its end: what there was on that day is what there was when it
// ended.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	words := strings.Join(strings.Fields(strings.ToLower(s)), " ")
	for _, parse := range []func(string, time.Time) (time.Time, bool){parseDay, parseClock, parseAge} {
		if t, ok := parse(words, now); ok {
			return t, nil
		}
	}
	return time.Time{}, WithHint(fmt.Errorf("%w: %q is not a time", ErrInvalid, s), "write "+TimeForms)
}

// parseDay reads a day, and a time of day after it.
func parseDay(s string, now time.Time) (time.Time, bool) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	name, clock, timed := strings.Cut(s, " ")
	var day time.Time
	switch name {
	case "now":
		return now, !timed
	case "today":
		day = midnight
	case "yesterday":
		day = midnight.AddDate(0, 0, -1)
	default:
		if !timed {
			name, clock, timed = strings.Cut(s, "t") // as RFC 3339 without a zone
		}
		var err error
		if day, err = time.ParseInLocation(time.DateOnly, name, now.Location()); err != nil {
			return day, false
		}
	}
	if !timed {
		return endOfDay(day), true
	}
	return at(day, clock)
}

// endOfDay is the last moment of the day that t is in.
func endOfDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+1, 0, 0, 0, -1, t.Location())
}

// parseClock reads a time of day: the last time that it was that.
func parseClock(s string, now time.Time) (time.Time, bool) {
	t, ok := at(now, s)
	if ok && t.After(now) {
		t, ok = at(now.AddDate(0, 0, -1), s)
	}
	return t, ok
}

// at is a time of day on a day.
func at(day time.Time, clock string) (time.Time, bool) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, clock); err == nil {
			return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), 0, day.Location()), true
		}
	}
	return time.Time{}, false
}

var age = regexp.MustCompile(`^(\d{1,5}) ?([a-z]+)$`)

// parseAge reads how long ago something was.
func parseAge(s string, now time.Time) (time.Time, bool) {
	if unit, ok := strings.CutPrefix(s, "last "); ok {
		s = "1 " + unit
	}
	s = strings.TrimSuffix(s, " ago")
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), d >= 0
	}
	m := age.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	n, _ := strconv.Atoi(m[1]) // five digits
	switch strings.TrimSuffix(m[2], "s") {
	case "sec", "second":
		return now.Add(-time.Duration(n) * time.Second), true
	case "min", "minute":
		return now.Add(-time.Duration(n) * time.Minute), true
	case "hour":
		return now.Add(-time.Duration(n) * time.Hour), true
	case "d", "day":
		return now.AddDate(0, 0, -n), true
	case "w", "week":
		return now.AddDate(0, 0, -7*n), true
	case "month":
		return now.AddDate(0, -n, 0), true
	case "year":
		return now.AddDate(-n, 0, 0), true
	}
	return time.Time{}, false
}
