package fs

import (
	"reflect"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// lookOnly answers who looks at attributes. All else is a nil dereference.
type lookOnly struct{ fuse.RawFileSystem }

func (lookOnly) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Ino = in.NodeId
	return fuse.OK
}

// looks are the requests by which nothing can change.
var looks = map[string]bool{"Lookup": true, "GetAttr": true, "Access": true, "Statx": true, "StatFs": true, "GetXAttr": true}

// request calls one method as the kernel does for a process, and tells whether it
// reached the nodes, and what it answered otherwise.
func (g *gate) request(method reflect.Method, pid uint32, node uint64, name string) (reached bool, status fuse.Status) {
	args := []reflect.Value{reflect.ValueOf(g)}
	header := fuse.InHeader{NodeId: node, Caller: fuse.Caller{Pid: pid}}
	for i := 1; i < method.Type.NumIn(); i++ {
		arg := reflect.New(method.Type.In(i)).Elem()
		switch {
		case arg.Kind() == reflect.String:
			arg.SetString(name)
		case arg.Type() == reflect.TypeFor[*fuse.InHeader]():
			arg.Set(reflect.ValueOf(&header))
		case arg.Kind() == reflect.Pointer:
			arg.Set(reflect.New(arg.Type().Elem()))
			if in := arg.Elem().FieldByName("InHeader"); in.IsValid() {
				in.Set(reflect.ValueOf(header))
			}
		case arg.Kind() == reflect.Uint64: // Forget
			arg.SetUint(node)
		}
		args = append(args, arg)
	}
	defer func() { reached = recover() != nil }()
	for _, result := range method.Func.Call(args) {
		if s, ok := result.Interface().(fuse.Status); ok {
			status = s
		}
	}
	return false, status
}

// requests are all that the kernel may ask for.
func requests() (all []reflect.Method) {
	raw := reflect.TypeFor[fuse.RawFileSystem]()
	for m := range reflect.TypeFor[*gate]().Methods() {
		switch _, ok := raw.MethodByName(m.Name); {
		case !ok, m.Name == "String", m.Name == "SetDebug", m.Name == "Init", m.Name == "OnUnmount":
		default:
			all = append(all, m)
		}
	}
	return all
}

const (
	testAnnouncer = 7
	testDirectory = 5
)

// TestGateHolds: whatever the announcer asks for, and whatever is announced, none
// of it reaches the nodes but looking; and what is not announced is refused.
func TestGateHolds(t *testing.T) {
	releases := map[string]bool{"Forget": true, "Release": true, "ReleaseDir": true} // the kernel's own doing
	for verb := verbNone; verb <= verbAttr; verb++ {
		for _, mode := range []uint32{0, unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFIFO} {
			for _, name := range []string{"announced", "another"} {
				g := &gate{RawFileSystem: lookOnly{}}
				g.announcer.Store(testAnnouncer)
				for _, m := range requests() {
					g.begin(raising{verb: verb, mode: mode, in: testDirectory, name: "announced"})
					for _, node := range []uint64{testDirectory, fuse.FUSE_ROOT_ID, 9, g.now.ghost, g.now.ghost + 1} {
						reached, status := g.request(m, testAnnouncer, node, name)
						if isGhost(node) && reached {
							t.Errorf("%s of a ghost reached the nodes", m.Name)
						}
						if releases[m.Name] || looks[m.Name] {
							continue
						}
						if reached {
							t.Errorf("%s of %s reached the nodes while %d of %o is announced", m.Name, name, verb, mode)
						}
						announced := verb != verbNone && verb != verbProve && (name == "announced" || node == g.now.ghost || node == testDirectory)
						if status.Ok() && !announced && m.Name != "Flush" {
							t.Errorf("%s of %s at node %x was not refused while %d of %o is announced", m.Name, name, node, verb, mode)
						}
					}
					g.end()
				}
			}
		}
	}
}

// TestGateLetsOthersPass: nobody else notices it, and ghosts are nobody's.
func TestGateLetsOthersPass(t *testing.T) {
	g := &gate{RawFileSystem: lookOnly{}}
	g.announcer.Store(testAnnouncer)
	for _, m := range requests() {
		for _, verb := range []verb{verbNone, verbCreate, verbModify, verbDelete, verbAttr} {
			g.begin(raising{verb: verb, mode: unix.S_IFREG, in: testDirectory, name: "announced"})
			for _, pid := range []uint32{0, 8} {
				if reached, status := g.request(m, pid, testDirectory, "announced"); !reached && m.Name != "GetAttr" {
					t.Errorf("%s of process %d was answered %v", m.Name, pid, status)
				}
				reached, status := g.request(m, pid, g.now.ghost, "announced")
				if reached {
					t.Errorf("%s of a ghost by process %d reached the nodes", m.Name, pid)
				}
				switch m.Name {
				case "Forget", "Release", "ReleaseDir", "Flush", "Access":
				default:
					if status.Ok() {
						t.Errorf("%s of a ghost by process %d was answered", m.Name, pid)
					}
				}
			}
			g.end()
		}
	}
}

// TestGateAnswersOnce: what is announced is made once, and removed once, and its
// ghost stands for it until the end.
func TestGateAnswersOnce(t *testing.T) {
	g := &gate{RawFileSystem: lookOnly{}}
	g.announcer.Store(testAnnouncer)
	dir := fuse.InHeader{NodeId: testDirectory, Caller: fuse.Caller{Pid: testAnnouncer}}
	for _, verb := range []verb{verbCreate, verbDelete} {
		g.begin(raising{verb: verb, mode: unix.S_IFDIR, in: testDirectory, name: "n"})
		var out fuse.EntryOut
		there := func(want bool) {
			t.Helper()
			out = fuse.EntryOut{}
			status := g.Lookup(nil, &dir, "n", &out)
			if status.Ok() != want || want && (out.NodeId != g.now.ghost || out.EntryTimeout() != 0 || out.AttrTimeout() != 0 || out.Mode&unix.S_IFMT != unix.S_IFDIR) {
				t.Errorf("verb %d: looked up: %v, %+v", verb, status, out)
			}
		}
		there(verb == verbDelete)
		act := func() fuse.Status { return g.Mkdir(nil, &fuse.MkdirIn{InHeader: dir}, "n", &out) }
		if verb == verbDelete {
			act = func() fuse.Status { return g.Rmdir(nil, &dir, "n") }
		}
		if status := act(); !status.Ok() {
			t.Errorf("verb %d: %v", verb, status)
		}
		there(verb == verbCreate)
		if status := act(); status.Ok() {
			t.Errorf("verb %d was answered twice", verb)
		}
		g.end()
		if status := act(); status.Ok() {
			t.Errorf("verb %d was answered after its end", verb)
		}
	}
}

// TestGateRemovesGhostsAlone: once the kernel may have learnt of something real at a
// name, nothing is removed there.
func TestGateRemovesGhostsAlone(t *testing.T) {
	const other, otherDirectory = 8, 9
	names := map[string]bool{
		"Lookup": true, "Create": true, "Mkdir": true, "Mknod": true, "Symlink": true, "Link": true, "Rename": true, "ReadDirPlus": true,
	}
	dir := fuse.InHeader{NodeId: testDirectory, Caller: fuse.Caller{Pid: testAnnouncer}}
	for _, m := range requests() {
		for _, mode := range []uint32{unix.S_IFREG, unix.S_IFDIR} {
			for _, where := range []uint64{testDirectory, otherDirectory} {
				g := &gate{RawFileSystem: lookOnly{}}
				g.announcer.Store(testAnnouncer)
				g.begin(raising{verb: verbDelete, mode: mode, in: testDirectory, name: "n"})
				g.request(m, other, where, "n")
				status := g.removed(&dir, "n", mode == unix.S_IFDIR)
				if met := names[m.Name] && where == testDirectory; status.Ok() == met {
					t.Errorf("%o is removed after %s in directory %d: %v", mode, m.Name, where, status)
				}
				g.end()
			}
		}
	}
	g := &gate{RawFileSystem: lookOnly{}}
	g.announcer.Store(testAnnouncer)
	g.begin(raising{verb: verbDelete, mode: unix.S_IFDIR, in: testDirectory, name: "n"})
	rename := fuse.RenameIn{InHeader: fuse.InHeader{NodeId: otherDirectory, Caller: fuse.Caller{Pid: other}}, Newdir: testDirectory}
	func() {
		defer func() { _ = recover() }() // there are no nodes
		g.Rename(nil, &rename, "from", "n")
	}()
	if status := g.removed(&dir, "n", true); status.Ok() {
		t.Error("what was moved to the name is removed")
	}
}
