package peer

import (
	"fmt"
	"log/slog"
	"strings"
)

// muxLog passes yamux's log on at debug level: what matters of it reaches the
// session as an error.
type muxLog struct{ log *slog.Logger }

func (m muxLog) Print(v ...any)            { m.say(fmt.Sprint(v...)) }
func (m muxLog) Println(v ...any)          { m.say(fmt.Sprint(v...)) }
func (m muxLog) Printf(f string, v ...any) { m.say(fmt.Sprintf(f, v...)) }

func (m muxLog) say(s string) { m.log.Debug("mux", "said", clean(strings.TrimSpace(s), maxText)) }
