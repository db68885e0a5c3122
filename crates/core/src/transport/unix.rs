//! UNIX sockets: private folder, private file, one user, checked at both ends.

use super::{Stream, ask_for_large_buffers, own_uid};
use crate::error::CoreError;
use daffi_protocol::ErrorCode;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Where the socket file lies when no path is given.
pub(super) fn default_folder() -> PathBuf {
    std::env::temp_dir().join("daffi")
}

pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    check_length(path)?;
    check_folder_of_controller(folder_of(path)).map_err(|error| closed_to_us(path, error))?;
    let stream = UnixStream::connect(path).await.map_err(|error| closed_to_us(path, error))?;
    let uid = stream.peer_cred()?.uid();
    if !is_trusted(uid) {
        let message = format!(
            "Did not connect to {}: the socket is held by user {uid}, not by user {} or root. Pass `unixSockPath` with \
             a folder of your own.",
            path.display(),
            own_uid()
        );
        return Err(CoreError::new(ErrorCode::Unauthorized, message).into());
    }
    ask_for_large_buffers(&SockRef::from(&stream));
    Ok(Stream::Unix(stream))
}

/// A socket file, and the lock that says whose it is.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket file, so that only our own is removed.
    identity: (u64, u64),
    /// Held, not read: the lock ends when this closes.
    _lock: File,
}

impl Listener {
    pub(super) fn bind(path: &Path) -> Result<Self, CoreError> {
        check_length(path)?;
        prepare_folder(folder_of(path))?;
        let lock = take_lock(path)?;
        remove_stale(path)?;
        let (socket, identity) = bind_private(path).map_err(|error| {
            CoreError::new(
                ErrorCode::BadAddress,
                format!(
                    "The controller did not start: {} cannot be bound ({error}). Pass another `unixSockPath`.",
                    path.display()
                ),
            )
        })?;
        Ok(Self { socket, path: path.to_owned(), identity, _lock: lock })
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if is_trusted(peer.uid()) => {
                    ask_for_large_buffers(&SockRef::from(&stream));
                    return Ok(Stream::Unix(stream));
                }
                Ok(peer) => turn_away(&stream, peer.uid()),
                Err(error) => tracing::debug!(%error, "closed a connection whose user is unknown"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The lock is still held, so nobody can have bound the path meanwhile by our rules.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What the file system keeps from us belongs to another user: waiting for it is no use.
fn closed_to_us(path: &Path, error: io::Error) -> io::Error {
    if error.raw_os_error().is_none() || error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let message = format!(
        "Did not connect to {}: it is closed to user {} ({error}). Pass `unixSockPath` with a folder of your own, or run \
         as the user of the controller.",
        path.display(),
        own_uid()
    );
    CoreError::new(ErrorCode::Unauthorized, message).into()
}

/// Tells a peer of another user why it is closed, and nothing else.
fn turn_away(stream: &UnixStream, uid: u32) {
    tracing::warn!(uid, "closed a connection of another user");
    let message = format!(
        "The controller belongs to user {}, this node to user {uid}. Pass `unixSockPath` with a folder of your own.",
        own_uid()
    );
    // Fits into a socket that has carried nothing; a peer that is gone already needs no reason.
    let _ = SockRef::from(stream).send(&CoreError::new(ErrorCode::Unauthorized, message).refusal());
}

fn is_trusted(uid: u32) -> bool {
    uid == own_uid() || uid == 0
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn check_length(path: &Path) -> Result<(), CoreError> {
    let length = path.as_os_str().as_bytes().len();
    if length <= MAX_PATH_BYTES {
        return Ok(());
    }
    let message = format!(
        "The socket path {} has {length} bytes; this system allows {MAX_PATH_BYTES}. Pass a shorter `unixSockPath`.",
        path.display()
    );
    Err(CoreError::new(ErrorCode::BadAddress, message))
}

fn bad_folder(folder: &Path, what: &str) -> CoreError {
    CoreError::new(
        ErrorCode::BadAddress,
        format!(
            "The folder {} of the socket {what}. Pass `unixSockPath` with a folder of your own of mode 0700.",
            folder.display()
        ),
    )
}

/// Before a node speaks: could somebody else have put the socket there?
fn check_folder_of_controller(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    check_kind_and_mode(folder, &found)?;
    if !is_trusted(found.uid()) {
        return Err(bad_folder(folder, &format!("belongs to user {}", found.uid())).into());
    }
    Ok(())
}

/// Makes the folder, or makes sure that nobody else can put a socket into it.
fn prepare_folder(folder: &Path) -> Result<(), CoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| bad_folder(folder, &format!("cannot be made ({error})")))?;
    let read =
        || fs::symlink_metadata(folder).map_err(|error| bad_folder(folder, &format!("cannot be read ({error})")));
    let mut found = read()?;
    if found.uid() != own_uid() {
        return Err(bad_folder(folder, &format!("belongs to user {}", found.uid())));
    }
    if found.is_dir() && folder == default_folder() && found.mode() & 0o777 != 0o700 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| bad_folder(folder, &format!("cannot be made private ({error})")))?;
        found = read()?;
    }
    check_kind_and_mode(folder, &found)
}

fn check_kind_and_mode(folder: &Path, found: &fs::Metadata) -> Result<(), CoreError> {
    if found.is_symlink() || !found.is_dir() {
        return Err(bad_folder(folder, "is a symbolic link or no folder"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(bad_folder(folder, &format!("can be written by others (mode {:04o})", found.mode() & 0o7777)));
    }
    Ok(())
}

/// The lock beside the socket file is the judge of who owns it: the kernel drops it with its holder.
fn take_lock(path: &Path) -> Result<File, CoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |error: &io::Error| {
        let message = format!(
            "The controller did not start: {} cannot be locked ({error}). Pass another `unixSockPath`.",
            lock_path.display()
        );
        CoreError::new(ErrorCode::BadAddress, message)
    };
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&lock_path)
        .map_err(|error| failed(&error))?;
    // SAFETY: the descriptor is open for as long as `lock` lives.
    if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let error = io::Error::last_os_error();
        return Err(if error.kind() == io::ErrorKind::WouldBlock { in_use(path) } else { failed(&error) });
    }
    Ok(lock)
}

fn in_use(path: &Path) -> CoreError {
    let message = format!(
        "The controller did not start: another controller holds {}. Stop it, start this Global without \
         initController, or pass another `unixSockPath`.",
        path.display()
    );
    CoreError::new(ErrorCode::AddressInUse, message)
}

/// Removes the socket file of a controller that was killed, and nothing else.
fn remove_stale(path: &Path) -> Result<(), CoreError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        let message = format!(
            "The controller did not start: {} exists and is no socket; it was left alone. Remove it, or pass another \
             `unixSockPath`.",
            path.display()
        );
        return Err(CoreError::new(ErrorCode::BadAddress, message));
    }
    if is_answered(path) {
        return Err(in_use(path));
    }
    fs::remove_file(path).map_err(|error| {
        let message = format!(
            "The controller did not start: the stale socket {} cannot be removed ({error}). Remove it by hand.",
            path.display()
        );
        CoreError::new(ErrorCode::BadAddress, message)
    })
}

/// Whether a program that knows nothing of our lock listens there.
fn is_answered(path: &Path) -> bool {
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    // A full backlog answers "would block", and is alive too.
    probe().map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |()| true)
}

/// Bind, chmod, listen: before `listen` nobody can connect, so the mode is never too wide.
fn bind_private(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    let found = fs::symlink_metadata(path)?;
    Ok((UnixListener::from_std(socket.into())?, (found.dev(), found.ino())))
}

/// What `sun_path` holds without the zero behind it.
const MAX_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Nodes that may come back at once after a restart of the controller.
const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{self, Address};

    /// A folder of mode 0700 that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let mut random = [0; 8];
            getrandom::fill(&mut random).unwrap();
            let path = std::env::temp_dir().join(format!("daffi-test-{:016x}", u64::from_le_bytes(random)));
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn bind(path: &Path) -> Result<transport::Listener, CoreError> {
        transport::Listener::bind(&Address::Unix { path: path.into() }, false).await
    }

    #[tokio::test]
    async fn bind_makes_private_folders_and_a_private_socket_and_drop_removes_it() {
        let folder = Folder::new();
        let path = folder.0.join("a/b/.sock");
        let listener = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(folder.0.join("a")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.0.join("a/b")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let near = transport::connect(listener.address()).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().peer_uid().unwrap(), Some(own_uid()));
        assert_eq!(near.peer_uid().unwrap(), Some(own_uid()));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_in_use_and_a_stale_one_is_taken_over() {
        let folder = Folder::new();
        let path = folder.0.join(".sock");
        let first = bind(&path).await.unwrap();
        assert_eq!(bind(&path).await.unwrap_err().code, ErrorCode::AddressInUse);
        drop(first);
        // What a killed controller leaves: a socket file without listener, a lock file without lock.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_live_socket_of_a_program_without_our_lock_is_in_use() {
        let folder = Folder::new();
        let path = folder.0.join(".sock");
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(bind(&path).await.unwrap_err().code, ErrorCode::AddressInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_regular_file_or_a_link_in_the_way_is_never_deleted() {
        let folder = Folder::new();
        let file = folder.0.join("file");
        fs::write(&file, "precious").unwrap();
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            assert_eq!(bind(path).await.unwrap_err().code, ErrorCode::BadAddress);
        }
        assert_eq!(fs::read(&link).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_path_over_the_limit_in_bytes_is_refused_and_the_limit_named() {
        let folder = Folder::new();
        let room = MAX_PATH_BYTES - folder.0.as_os_str().len() - 1;
        bind(&folder.0.join("x".repeat(room))).await.unwrap();
        for name in ["x".repeat(room + 1), "é".repeat(room / 2 + 1)] {
            let error = bind(&folder.0.join(name)).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadAddress);
            assert!(error.message.contains(&MAX_PATH_BYTES.to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_or_that_is_a_link_is_refused_at_both_ends() {
        let folder = Folder::new();
        let open = folder.0.join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(&folder.0, &link).unwrap();
        for bad in [open, link] {
            let path = bad.join(".sock");
            let error = bind(&path).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadAddress);
            assert!(error.message.contains("unixSockPath"), "{error}");
            let error = transport::connect(&Address::Unix { path }).await.unwrap_err();
            assert_eq!(CoreError::from(error).code, ErrorCode::BadAddress);
        }
    }

    #[tokio::test]
    async fn connect_without_a_controller_says_not_found() {
        let folder = Folder::new();
        for path in [folder.0.join(".sock"), folder.0.join("none/.sock")] {
            let error = transport::connect(&Address::Unix { path }).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn of_many_that_start_at_once_exactly_one_wins() {
        let folder = Folder::new();
        let path = folder.0.join(".sock");
        for _ in 0..50 {
            let barrier = std::sync::Barrier::new(2);
            let start = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                barrier.wait();
                let listener = runtime.block_on(bind(&path));
                barrier.wait();
                listener.is_ok()
            };
            let wins = std::thread::scope(|scope| {
                let threads = [scope.spawn(start), scope.spawn(start)];
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
            });
            assert_eq!(wins, 1);
        }
    }
}
