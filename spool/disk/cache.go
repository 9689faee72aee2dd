package disk

import (
	"errors"
	"fmt"
	"sync"

	"leveret/spool"
)

// chunkCache keeps the chunks that were unpacked last, because the messages of
// many queues lie in the same ones.
type chunkCache struct {
	max int64

	mu    sync.Mutex
	bytes int64
	list  []*chunk // oldest first; a handful
}

func (c *chunkCache) get(id uint64) *chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.list) - 1; i >= 0; i-- {
		if ch := c.list[i]; ch.id == id {
			copy(c.list[i:], c.list[i+1:])
			c.list[len(c.list)-1] = ch
			return ch
		}
	}
	return nil
}

// cachedChunksMax bounds the search when chunks are small.
const cachedChunksMax = 64

func (c *chunkCache) put(ch *chunk) {
	if ch.memory() > c.max/2 {
		ch.private = true
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, old := range c.list {
		if old.id == ch.id {
			return // another reader was faster
		}
	}
	c.list = append(c.list, ch)
	c.bytes += ch.memory()
	drop := 0
	for c.bytes > c.max || len(c.list)-drop > cachedChunksMax {
		c.bytes -= c.list[drop].memory()
		drop++
	}
	if drop > 0 {
		n := copy(c.list, c.list[drop:])
		clear(c.list[n:])
		c.list = c.list[:n]
	}
}

// chunk reads a chunk. Ids are never used again, so the cache needs no
// snapshot. A missing or shortened value is damage: Badger answers that without
// an error.
func (s *Store) chunk(at moment, id uint64) (*chunk, error) {
	if c := s.cache.get(id); c != nil {
		return c, nil
	}
	raw, err := readParts(at, id)
	if err != nil {
		return nil, err
	}
	c, err := decodeChunk(id, raw, s.zip)
	if err != nil {
		s.bury(fmt.Sprintf("chunk-%d", id), raw)
		return nil, err
	}
	s.cache.put(c)
	return c, nil
}

func readParts(at moment, id uint64) ([]byte, error) {
	raw, err := readValue(at, chunkKey(id), nil)
	if err != nil || len(raw) < chunkHeader {
		return raw, err
	}
	whole := chunkHeader + 4 + uint64(be.Uint32(raw[12:])) + uint64(be.Uint32(raw[16:])) + uint64(be.Uint32(raw[20:]))
	for part := 1; uint64(len(raw)) < whole; part++ {
		before := len(raw)
		if raw, err = readValue(at, partKey(id, part), raw); err != nil {
			return nil, err
		}
		if len(raw) == before || part == 1<<16-1 {
			break // decoding will say what is missing
		}
	}
	return raw, nil
}

// readValue appends the value of a key to dst.
func readValue(at moment, key, dst []byte) ([]byte, error) {
	err := at.get(key, func(v []byte) error {
		dst = append(dst, v...)
		return nil
	})
	if errors.Is(err, errNoKey) {
		return dst, fmt.Errorf("%w: %c %x is not there", spool.ErrCorrupt, key[0], key[1:])
	}
	if err != nil {
		return dst, fmt.Errorf("read %c %x: %w", key[0], key[1:], err)
	}
	return dst, nil
}
