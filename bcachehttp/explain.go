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
	h, p := standing(r), r.Provisional
	if r.ProvisionalCleared {
		p = nil
	}
	switch {
	case h != nil:
		say("%s", explainHeld(h, r.At, ownOf(r) != nil))
	case r.Held == nil && r.Provisional == nil:
		say("%s", explainNothing(r))
	case p == nil:
		say("Has nothing any more: %s, deleted it.", clearOf(r))
	case r.Held != nil:
		say("%s, deleted what it had.", capital(clearOf(r)))
	}
	switch {
	case r.Isolated && h != nil && p == nil:
		say("The node is isolated, so it doesn't serve that: Gets miss.")
	case r.Isolated && h != nil:
		say("The node is isolated, so it doesn't serve that.")
	}
	if p != nil {
		say("%s", explainFill(r, p))
	}
	if r.Isolated && h == nil {
		say("The node is isolated.")
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

// explainHeld says what a record is, and for how long. instead is whether something else is served once
// it has expired.
func explainHeld(h *bcache.HeldKey, now time.Time, instead bool) string {
	switch h.Kind {
	case bcache.KeyDeleted:
		return fmt.Sprintf("Deleted %s.", written(h.Version, now))
	case bcache.KeyMissing, bcache.KeyValue:
		return fmt.Sprintf("Has %s, written %s. %s", thing(h), written(h.Version, now), lasts(h, now, instead))
	}
	return fmt.Sprintf("Has something that this version doesn't know: %q, written %s.", string(h.Kind),
		written(h.Version, now))
}

// explainFill says what a fill brought that has no version, and for how long that is served.
func explainFill(r *bcache.KeyReport, p *bcache.HeldKey) string {
	text := "Has"
	switch {
	case r.Held != nil && !r.Cleared && r.BesideLive && !r.Isolated:
		text = "Beside it, for a Typed that can't read it, it has"
	case r.Held != nil:
		text = "Instead it has"
	}
	return fmt.Sprintf("%s what a fill brought, without a version: %s. Any write of the key ends that. %s",
		text, thing(p), lasts(p, r.At, false))
}

// thing names what is held.
func thing(h *bcache.HeldKey) string {
	if h.Kind == bcache.KeyMissing {
		return "the knowledge that there is no value (ErrNotFound)"
	}
	return "a value (" + size(float64(h.Size)) + " with its key)"
}

// lasts says until when something is served, or if something else is instead, that it isn't.
func lasts(h *bcache.HeldKey, now time.Time, instead bool) string {
	switch {
	case h.Deadline.IsZero():
		return "It never expires."
	case expired(h, now) && instead:
		return fmt.Sprintf("It expired %s.", relative(h.Deadline, now))
	case expired(h, now) && !over(h, now):
		return fmt.Sprintf("It expired %s; Loaders may serve it, as stale, for another %s.",
			relative(h.Deadline, now), span(h.StaleUntil.Sub(now)))
	case expired(h, now):
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

// capital begins a sentence with a text.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
