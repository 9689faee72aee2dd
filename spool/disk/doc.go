// Package disk is the durable log on flash: spool.Log kept in one Badger
// database. It is the only package that knows Badger, and of it only badger.go
// (with compact.go, tally.go, latch.go, anchor.go and folder.go) and what looks at
// Badger's files before it opens, or without it (mend.go, manifest.go, tables.go,
// walk.go, offline.go); all else is written to engine.go, which also says what may
// be believed.
//
// It owns one folder. It promises what spool.Log says: what is at or below the
// watermark survives a power cut; a batch is there as a whole or not at all; a
// record that does not read back as written is reported and never handed out.
//
// # How it works
//
// Append stages a batch in memory (stage.go) and never touches the disk. It takes
// only what can be written (room.go). One writer (committer.go) takes what is staged,
// a group of batches and mostly all there are, and turns it into
// chunks of about 256 kB, index entries and definitions, which go to Badger in
// one synced transaction (write.go); then it moves the watermark. A record
// that left all its queues before its group was taken is never encoded. Read
// (read.go) sees a snapshot: Badger as of the last group, plus the group in
// flight, plus what is staged, so nothing is seen twice and nothing is missed
// while the writer moves records from one to the other.
//
// Between two commits the writer also merges (merge.go): small chunks of a backlog
// that came as a trickle, those that several queues share for all of them at once
// (merge_shared.go), and chunks in which only a few messages stayed.
//
// In memory stand, for the whole backlog, 4 bytes for each chunk and a few
// words for each queue that has something stored; index entries only in a
// bounded cache (index.go).
//
// # Goroutines
//
// Run is the writer. It owns one more goroutine, the janitor (reclaim.go),
// which lives only while Badger compacts for us: it does so when the writer says,
// one compaction at a time, and what that replaces stays until its tables were
// counted (tally.go). The writer waits for one more while Badger rewrites a value
// log (paging.go). Badger has its own for flushing and the like.
//
// # What it does not do
//
// It does not know what a record means, does not expire anything, and does not
// go on after the first failed write, sync or warning about the manifest: it
// answers ErrFailed for good, and the next Open reads what is really there.
//
// # The guard
//
// Before Badger opens, a ballast is given up on a full volume (ballast.go),
// starts are counted and a folder that fails is set aside (starts.go), every
// block of every table is verified, the manifest is compared with the
// tables and a copy (mend.go), logs whose tables are there go (outlived.go), and what
// is dead in the value logs is counted anew (recount.go). Afterwards the mark of the
// last commit is compared with one that was noted apart (highwater.go), lost index
// entries are made anew from chunks (rebuild.go), lost chunks brought back from the
// value logs (salvage.go), and definitions from their copy (defcopy.go). Whatever is
// damaged goes to the folder quarantine; the guard's own files are in the folder guard.
// A repair may bring messages back that had left: better twice than never. It
// is begun only by damage: a table that is gone or does not read, a manifest
// that lost more than an unfinished change, an index entry, or a part of a redo
// list. It is told as trouble with its count. A table that Badger could not write
// never begins one, as its compaction is done once more (tally.go). Nor does a power
// cut alone, not even where a name is only safe when its folder was synced
// (anchor.go), nor one while a start turns what the last cut left into tables
// (held.go), unless there was no room on the volume for copies of the logs; then the
// log says so.
//
// Offline reads a spool without Badger's database, for the spool commands. Probe
// and UntilCut try the disk that a spool is or will be on: all of the above holds
// on one that keeps what it says to have synced.
//
// # Keys and values, format 1
//
// Integers are big endian; "uv" is an unsigned varint. Checksums are CRC-32C.
//
//	's'                          format u8, crc u32 of the format byte
//	'd' name                     crc u32 of name and value, value
//	'i' queue u32, pos u64       index entry, see below
//	'c' chunk u64                chunk, or its first part
//	'c' chunk u64, part u16      further parts (1, 2, ...) of a chunk over 4 MiB,
//	                             or over half a value log when that is less
//	'p' queue u32                from u64, to u64: a purge that is not finished
//	'm'                          commits u64, records u64 ever written, crc u32
//	'r' number u32               part of a redo list, see below
//	'~'                          scratch of the flush trick, see reclaim.go; no key
//	                             is longer and begins so
//
// Names of definitions that begin with "~" are minor (see [spool.Minor]): their
// keys begin with 'd' as all others' do, but the copy leaves them out.
//
// A chunk:
//
//	0   u8   format, 1
//	1   u8   codec of the body: 0 as it is, 1 zstd
//	2   u16  0
//	4   u32  records
//	8   u32  bytes of the body when unpacked
//	12  u32  bytes of the body as stored
//	16  u32  bytes of the table
//	20  u32  bytes of the routes
//	24       body: the records, one after the other
//	         table: for each record crc u32 (seeded with the chunk's low half
//	         xor its high half * 0x9e3779b1 xor slot * 0x85ebca6b), uv length,
//	         uv payload size
//	         routes: for each index entry of the chunk uv queue, uv first
//	         position, uv bytes, uv volatile bytes, runs as in the entry
//	         crc u32 (seeded with the chunk's low half xor its high half) of
//	         header, table and routes
//
// The routes repeat what the index said when the chunk was written, so that an
// index can be rebuilt from chunks alone.
//
// An index entry says which positions of one queue live in one chunk. The key
// holds the first position it was made for. The value:
//
//	u8  format, 1
//	uv  chunk, uv stored bytes of that chunk
//	uv  payload bytes of the live records, uv of the volatile ones
//	uv  runs, then for each run: uv position minus end of the previous run
//	    (of the key's position), uv slot minus end of the previous run, uv
//	    count*2 + volatile
//	u32 crc of the key and of all before
//
// Entries of one queue never overlap. A chunk is deleted together with the last
// entry that refers to it; its number is never used again. Merged chunks hold
// copies of what others held; these are deleted with it, as one change.
//
// A group that does not fit into one Badger transaction (15 % of the memtable)
// stays atomic: chunks and what else fits go into the first transaction together
// with a redo list of all other changes; these are applied right after, and
// once more by the next Open if the power went in between. A redo part:
//
//	u8  format, 1
//	    then operations: u8 1 set or 2 delete, uv length, key,
//	    and for set uv length, value
//	u32 crc of the above
//
// # Files
//
// Badger's own lie in the folder: MANIFEST, KEYREGISTRY, DISCARD, tables (.sst),
// value logs (.vlog) and write-ahead logs (.mem). The latter are zero behind their
// end, where zeros are also written ahead (pave_linux.go). Ours are
//
//	owner              the lock, and who has it
//	quarantine/        what was damaged, as it was
//	guard/highwater    at 0 and 4096 in turn: commits u64, records u64, crc u32
//	guard/jotted       the same at 0 and 64, not synced
//	guard/definitions  u8 format, then for each uv length, name, uv length, value;
//	                   crc u32 of all before
//	guard/MANIFEST     what Badger's said, as one change set
//	guard/starts       text: boot, phase, starts that failed
//	guard/ballast      nothing of meaning
//	guard/import       chunk u64, crc u32: how far an import has come
//	guard/logs.held    text: names of logs, one a line, whose copies in guard/logs
//	                   are complete (held.go)
//
// # Formats
//
// 's' is read before a key is repaired or written, and a newer format is refused
// with spool.ErrNewer: the folder keeps what it holds and is not set aside. Where the
// record itself is damaged the index entries are asked. Behind a record of this
// format a chunk, an entry or a part of a redo list of another one is damage; so is
// the copy of the definitions. An export says its format in its first frame.
// Before all that stands the header of Badger's manifest: a product or a layout that
// its copy names, too, is refused, and another one is damage (manifest_header.go).
//
// Format 1 is the only one there has been. A version that writes another one reads
// format 1 by these numbers, writes 's' anew before the first piece in its own
// format, so that older versions refuse the folder from then on, and needs no
// conversion: old pieces go with their messages.
package disk
