//! One name, one type; and none that std has taken.

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Breach, breach};

/// What a reader knows from std, its prelude first.
const TAKEN: &str = "\
    Any Arc AsMut AsRef BTreeMap BTreeSet BinaryHeap Borrow Box BufRead BufReader BufWriter Bytes Cell Child Clone Command Condvar Copy Cow \
    Debug Default Deref DerefMut DirEntry Display DoubleEndedIterator Drop Duration Eq Err Error ErrorKind ExactSizeIterator ExitCode \
    ExitStatus Extend File FileType Fn FnMut FnOnce Formatter From FromIterator FromStr Future Hash HashMap HashSet Hasher Infallible \
    Instant Into IntoFuture IntoIterator IpAddr Iterator JoinHandle LazyLock LinkedList Metadata Mutex MutexGuard NonZero None Ok OnceCell \
    OnceLock OpenOptions Option Ord Ordering OsStr OsString PartialEq PartialOrd Path PathBuf Permissions PhantomData Pin Poll Range Rc \
    Read RefCell Result RwLock Seek SeekFrom Send Sized SocketAddr Some Stderr Stdin Stdio Stdout String Sync SystemTime TcpListener \
    TcpStream Thread ToOwned ToString TryFrom TryInto UdpSocket UnixListener UnixStream Unpin Vec VecDeque Waker Weak Wrapping Write";

pub(super) fn one_name_one_type(tree: &Tree) -> Vec<Breach> {
    let mut types: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in tree.production() {
        for (name, line) in &source.types {
            types.entry(name).or_default().push(format!("{}:{line}", source.path));
        }
    }
    let shared = types.iter().filter(|(_, places)| places.len() > 1);
    let shared = shared.map(|(name, places)| {
        breach(
            name,
            format!("names {} types, in {}: say of each what it is", places.len(), places.join(", ")),
        )
    });
    let taken = types.iter().filter(|(name, _)| TAKEN.split(' ').any(|taken| taken == **name));
    let taken = taken.map(|(name, places)| {
        breach(&format!("std {name}"), format!("is a name of std, and of a type in {}", places.join(", ")))
    });
    shared.chain(taken).collect()
}
