package importer

// recent remembers the keys that were put or got last: at least most of them, and at most twice as many, so that a file of any length is
// imported in bounded memory.
type recent[K comparable, V any] struct {
	most       int
	young, old map[K]V
}

func newRecent[K comparable, V any](most int) *recent[K, V] {
	return &recent[K, V]{most: most, young: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, found := r.young[k]
	if found {
		return v, true
	}
	if v, found = r.old[k]; found {
		r.put(k, v)
	}
	return v, found
}

func (r *recent[K, V]) put(k K, v V) {
	if len(r.young) >= r.most {
		r.old, r.young = r.young, make(map[K]V, r.most)
	}
	r.young[k] = v
}
