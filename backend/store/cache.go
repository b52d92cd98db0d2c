package store

import (
	"container/list"
	"sync"
)

// cache keeps decoded objects, least recently used ones going first. It is
// safe for concurrent use; values are shared and must not be changed.
type cache[K comparable, V any] struct {
	mu    sync.Mutex // guards the rest
	limit int
	cost  int
	items map[K]*list.Element
	order *list.List // front: used last
}

type cacheItem[K comparable, V any] struct {
	key  K
	val  V
	cost int
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, items: map[K]*list.Element{}, order: list.New()}
}

func (c *cache[K, V]) get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cacheItem[K, V]).val, true
}

// put adds a value. One that alone exceeds the limit is kept as the only one.
func (c *cache[K, V]) put(k K, v V, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[k]; ok {
		return
	}
	c.items[k] = c.order.PushFront(cacheItem[K, V]{k, v, cost})
	for c.cost += cost; c.cost > c.limit && c.order.Len() > 1; {
		old := c.order.Remove(c.order.Back()).(cacheItem[K, V])
		delete(c.items, old.key)
		c.cost -= old.cost
	}
}
