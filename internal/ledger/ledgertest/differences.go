package ledgertest

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// same returns an error that names the first part in which two values differ, and shows both of them.
func same[V any](what string, got, want V) error {
	where, differ := difference("", reflect.ValueOf(got), reflect.ValueOf(want))
	if !differ {
		return nil
	}
	return fmt.Errorf("%s differs in %s\n   is     %s\n   wanted %s", what, where, show(got), show(want))
}

// difference finds the first part in which two values of one type differ.
func difference(path string, got, want reflect.Value) (string, bool) {
	is, wanted := got.Interface(), want.Interface()
	if reflect.DeepEqual(is, wanted) {
		return "", false
	}
	here := fmt.Sprintf("%s: %v, wanted %v", path, is, wanted)
	switch got.Kind() {
	case reflect.Pointer:
		if !got.IsNil() && !want.IsNil() {
			return difference(path, got.Elem(), want.Elem())
		}
	case reflect.Struct:
		for i := range got.NumField() {
			if field := got.Type().Field(i); field.IsExported() {
				if where, differ := difference(path+"."+field.Name, got.Field(i), want.Field(i)); differ {
					return where, true
				}
			}
		}
	case reflect.Slice:
		for i := range min(got.Len(), want.Len()) {
			if where, differ := difference(fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i)); differ {
				return where, true
			}
		}
		return fmt.Sprintf("%s: %d of them, wanted %d", path, got.Len(), want.Len()), true
	default: // a value
	}
	return here, true
}

// sameAll is same for lists, of which an empty one is as good as none.
func sameAll[V any](what string, got, want []V) error {
	if len(got) == 0 && len(want) == 0 {
		return nil
	}
	return same(what, got, want)
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

// sameReason tells whether two errors say the same to a client.
func sameReason(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return errs.Of(a).Reason == errs.Of(b).Reason && errs.Of(a).Fields["field"] == errs.Of(b).Fields["field"]
}

// disagree says what the two errors are, of which one may be none.
func disagree(got, want error) error {
	return fmt.Errorf("error %q, and the model says %q", fmt.Sprint(got), fmt.Sprint(want))
}
