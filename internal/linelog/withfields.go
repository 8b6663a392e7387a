package linelog

import "reflect"

// withFields is a Logger with a method WithFields as in logrus, which isn't imported for that.
type withFields struct{ method reflect.Value }

// findWithFields looks for the method: of a map of anything by names it makes another Logger.
//
// Who embeds a Logger with such a method may have methods of his own beside it. What it returns wouldn't
// have them, so it isn't asked.
func findWithFields(out Logger) (withFields, bool) {
	m := reflect.ValueOf(out).MethodByName("WithFields")
	if !m.IsValid() || embedsWithFields(reflect.TypeOf(out)) {
		return withFields{}, false
	}
	t := m.Type()
	if t.NumIn() != 1 || t.NumOut() != 1 || !t.Out(0).Implements(reflect.TypeFor[Logger]()) {
		return withFields{}, false
	}
	takes := t.In(0)
	ok := takes.Kind() == reflect.Map && reflect.TypeFor[map[string]any]().AssignableTo(takes)
	return withFields{m}, ok
}

// embedsWithFields reports whether a struct has the method of what is embedded in it, or could have.
func embedsWithFields(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous {
			continue
		}
		if _, ok := f.Type.MethodByName("WithFields"); ok {
			return true
		}
		if _, ok := reflect.PointerTo(f.Type).MethodByName("WithFields"); ok {
			return true
		}
	}
	return false
}

func (w withFields) write(n line) {
	fields := make(map[string]any, len(n.fields))
	for _, f := range n.fields {
		fields[f.Key] = f.Value.Any()
	}
	out := w.method.Call([]reflect.Value{reflect.ValueOf(fields)})[0].Interface().(Logger)
	tell(out, n.level, n.format, n.args)
}
