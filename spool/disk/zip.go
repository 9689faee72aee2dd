package disk

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// Below packMin a commit fits into the page it dirties anyway; above
	// packMax (a chunk of one huge record) packing would need too much memory.
	packMin = 1 << 10
	packMax = 1 << 20
	// packSkipMax is how many chunks may go unpacked after some that did not
	// pay, before it is tried again.
	packSkipMax = 64
)

// zipper packs and unpacks bodies of chunks. pack is the writer's alone; unpack
// may be called by anyone.
type zipper struct {
	enc *zstd.Encoder // nil: nothing is packed
	dec *zstd.Decoder
	out []byte

	wait, step int // chunks to leave unpacked, and how many next time
}

func newZipper(pack bool) (*zipper, error) {
	z := new(zipper)
	var err error
	z.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(packMax), zstd.WithDecoderMaxWindow(packMax))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	if pack {
		z.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10),
			zstd.WithEncoderCRC(false)) // every record has a checksum of its own
		if err != nil {
			return nil, fmt.Errorf("set up zstd: %w", err)
		}
	}
	return z, nil
}

// pack reports false when packing does not make body at least a tenth smaller.
// Traffic that does not pack is soon left alone, but for a try now and then.
func (z *zipper) pack(body []byte) ([]byte, bool) {
	if z.enc == nil || len(body) < packMin || len(body) > packMax {
		return nil, false
	}
	if z.wait > 0 {
		z.wait--
		return nil, false
	}
	z.out = z.enc.EncodeAll(body, z.out[:0])
	if len(z.out) > len(body)/10*9 {
		z.step = min(2*z.step+1, packSkipMax)
		z.wait = z.step
		return nil, false
	}
	z.step = 0
	return z.out, true
}

func (z *zipper) unpack(packed []byte, size uint32) ([]byte, error) {
	if size > packMax {
		return nil, fmt.Errorf("body of %d bytes is packed", size)
	}
	body, err := z.dec.DecodeAll(packed, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(body) != int(size) {
		return nil, fmt.Errorf("unpacked to %d bytes instead of %d", len(body), size)
	}
	return body, nil
}

func (z *zipper) close() {
	z.dec.Close()
	if z.enc != nil {
		_ = z.enc.Close() // it holds nothing: only EncodeAll is used
	}
}
