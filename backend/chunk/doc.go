// Package chunk knows how large files are kept: cut into chunks where their
// content says so, in a tree of git trees, with a pointer at the file's name.
// It reads and writes through object's Source and Sink.
//
// # Terms
//
// A chunk is a blob that holds a part of a file. A list is the tree of trees
// that names a file's chunks in order. A pointer is the blob at the file's
// name; it says how long the file is, and which list makes it up.
//
// # The format
//
// All of this is a format: what is changed here makes every large file new.
// TestGolden holds it fast.
//
//   - A file is large above Threshold. So is a smaller one that reads as a
//     pointer: what a blob at a file's name holds is a pointer if, and only if,
//     the file is large. A file's blob therefore identifies its content.
//   - Cuts are those of FastCDC (Xia et al., USENIX ATC 2016) with normalised
//     chunking of level 2: least 256 KiB, aimed at 1 MiB, most 4 MiB. No key:
//     all nodes cut alike.
//   - A node of a list ends after an entry whose id's last four bytes are, as a
//     big-endian number, divisible by 96, but not before 32 entries, and at 512.
//     So an insertion changes one node a level. All chunks lie equally deep; the
//     list is the lowest node that is alone in its level.
//   - An entry is named by where it ends in its node, as 16 hexadecimal digits:
//     the chunks are in the order of their paths, and the last name of a node is
//     the size of what is below it.
//
// # Concurrency
//
// Put cuts in the caller's goroutine and hashes and stores on all processors.
// Its memory is bounded by the number of processors, not by the file. A Reader is for
// one goroutine, a ReaderAt for all; what ReaderAts hold in memory their Cache bounds.
//
// Read backend/object next for where pointers and lists are in a directory.
package chunk
