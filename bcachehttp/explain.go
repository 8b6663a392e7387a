package bcachehttp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iwanbk/bcache"
)

// explain says in plain words what a node has of a key, and why. Times are by the clock of that node.
func explain(r *bcache.KeyReport) string {
	switch {
	case errors.Is(r.Err, bcache.ErrCannotAnswer):
		return "Its version of bcache can't be asked."
	case errors.Is(r.Err, bcache.ErrBusy):
		return "It is asked too much at this moment. Ask again in a second."
	case r.Err != nil:
		return "It doesn't answer: it is cut off, busy or slow. What it has isn't known."
	}
	var said []string
	say := func(format string, v ...any) { said = append(said, fmt.Sprintf(format, v...)) }
	switch {
	case r.Held == nil && r.Provisional == nil:
		say("%s", explainNothing(r))
	case r.Held != nil && !r.Cleared:
		say("%s", explainHeld(r.Held, r.At))
	case r.Held != nil || r.ProvisionalCleared:
		say("Has nothing any more: %s, deleted it.", clearOf(r))
	}
	if r.Isolated && r.Held != nil && !r.Cleared {
		say("The node is isolated, so it doesn't serve that: Gets miss.")
	}
	if p := r.Provisional; p != nil && !r.ProvisionalCleared {
		text := "Has"
		if r.Held != nil && !r.Cleared && r.BesideLive {
			text = "Beside it, for a Typed that can't read it, it has"
		}
		say("%s %s that a fill brought, without a version: any write of the key ends it.", text, thing(p))
		say("%s%s", lasts(p, r.At), tagged(p))
	}
	switch {
	case r.Fills == 1:
		say("A fill of it runs.")
	case r.Fills > 1:
		say("%d fills of it run.", r.Fills)
	}
	if r.Holder != 0 {
		say("It has granted its lease to node %x: that one fills it for all.", r.Holder)
	}
	return strings.TrimSpace(strings.Join(said, " "))
}

// explainNothing says why there is nothing.
func explainNothing(r *bcache.KeyReport) string {
	floor := ""
	if !r.Floor.IsZero() {
		floor = fmt.Sprintf(" It has forgotten keys, so it takes no write of this one from before %s (%s).",
			when(r.Floor, r.At), relative(r.Floor, r.At))
	}
	cleared := ""
	if !r.Clear.IsZero() {
		cleared = fmt.Sprintf(" The last Clear was %s: nothing older comes back.", written(r.Clear, r.At))
	}
	if x := r.KeyClear; x != nil && later(x.Version, r.Clear) {
		cleared = fmt.Sprintf(" The last Clear of %s was %s: nothing older comes back.", selected(x),
			written(x.Version, r.At))
	}
	if r.TagFloor.After(r.Floor) {
		floor += fmt.Sprintf(" It has forgotten Clears of tags, so it takes no value with tags from before "+
			"%s (%s).", when(r.TagFloor, r.At), relative(r.TagFloor, r.At))
	}
	if len(r.Decisions) == 0 {
		return "Has nothing: it has never heard of the key, or has forgotten it." + cleared + floor
	}
	d := r.Decisions[0]
	what := d.What
	if d.Provisional {
		what += " (a value without a version)"
	}
	if !d.At.IsZero() {
		what += ", " + relative(d.At, r.At)
	}
	return "Has nothing: " + what + "." + cleared + floor
}

// clearOf names the Clear that deleted what is held, with its writer and time.
func clearOf(r *bcache.KeyReport) string {
	if x := r.KeyClear; x != nil && later(x.Version, r.Clear) {
		return "the Clear of " + selected(x) + " " + written(x.Version, r.At)
	}
	return "the Clear " + written(r.Clear, r.At)
}

// selected says what a Clear is about.
func selected(x *bcache.KeyClear) string {
	if x.Prefix != "" {
		return "the prefix " + shown(x.Prefix, mostToRead)
	}
	return "the tag " + shown(x.Tag, mostToRead)
}

// explainHeld says what a record is, and for how long.
func explainHeld(h *bcache.HeldKey, now time.Time) string {
	switch h.Kind {
	case bcache.KeyDeleted:
		return fmt.Sprintf("Deleted %s.", written(h.Version, now))
	case bcache.KeyMissing, bcache.KeyValue:
		return fmt.Sprintf("Has %s, written %s. %s%s", thing(h), written(h.Version, now), lasts(h, now),
			tagged(h))
	}
	return fmt.Sprintf("Has something that this version doesn't know: %q, written %s.", string(h.Kind),
		written(h.Version, now))
}

// tagged says which tags there are, or the first ones.
func tagged(h *bcache.HeldKey) string {
	const most = 4
	texts := tagTexts(h.Tags[:min(len(h.Tags), most)])
	if more := len(h.Tags) - len(texts); more > 0 {
		texts = append(texts, whole(more)+" more")
	}
	if len(texts) == 0 {
		return ""
	}
	return " " + plural(len(texts), "Its tag is ", "Its tags are ") + strings.Join(texts, ", ") + "."
}

// thing names what is held.
func thing(h *bcache.HeldKey) string {
	if h.Kind == bcache.KeyMissing {
		return "the knowledge that there is no value (ErrNotFound)"
	}
	return "a value (" + size(float64(h.Size)) + " with its key)"
}

// lasts says until when something is served.
func lasts(h *bcache.HeldKey, now time.Time) string {
	over := !h.Deadline.IsZero() && !now.Before(h.Deadline)
	stale := !h.StaleUntil.IsZero() && now.Before(h.StaleUntil)
	switch {
	case h.Deadline.IsZero():
		return "It never expires."
	case over && stale:
		return fmt.Sprintf("It expired %s; Loaders may serve it, as stale, for another %s.",
			relative(h.Deadline, now), span(h.StaleUntil.Sub(now)))
	case over:
		return fmt.Sprintf("It expired %s: Gets miss.", relative(h.Deadline, now))
	}
	text := "It expires " + relative(h.Deadline, now)
	if h.StaleUntil.After(h.Deadline) {
		text += ", and may be served, as stale, for " + span(h.StaleUntil.Sub(h.Deadline)) + " after that"
	}
	switch {
	case h.RefreshFrom.IsZero():
	case now.Before(h.RefreshFrom):
		text += "; from " + when(h.RefreshFrom, now) + " on a hit refreshes it"
	default:
		text += "; the next hit refreshes it"
	}
	return text + "."
}

// written says by whom and when.
func written(v bcache.KeyVersion, now time.Time) string {
	by := fmt.Sprintf("by node %x", v.Node)
	if v.Node == 0 {
		by = fmt.Sprintf("by a node that isn't known any more (origin %x)", v.Origin)
	}
	return fmt.Sprintf("%s at %s, %s", by, when(v.Time, now), relative(v.Time, now))
}
