package journal

import "fmt"

// A file with several names has a mark of its own beside those of its names,
// under a name in the root that no file has: a change is announced at one of
// the names, and that one may be gone, or be another file's, before somebody
// looks.

const inodeFormat = "\x00%x.%x"

// inodeName is the name that stands for a file whatever names it has.
func inodeName(k FileKey) string { return fmt.Sprintf(inodeFormat, k.Ino, k.Gen) }

// inodeOf is the file that a name stands for; zero for all ordinary names.
func inodeOf(name string) (k FileKey) {
	if name == "" || name[0] != 0 {
		return k
	}
	if _, err := fmt.Sscanf(name, inodeFormat, &k.Ino, &k.Gen); err != nil {
		return FileKey{}
	}
	return k
}
