//! The socket that senders connect to: an address, or a file.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::ForwardListen;
use crate::connections::Accept;

/// A bound socket.
#[derive(Debug)]
pub(super) enum ForwardSocket {
    Tcp(TcpListener),
    Unix(UnixSocketFile),
}

/// A socket in the file system; its file goes with it.
#[derive(Debug)]
pub(super) struct UnixSocketFile {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum ForwardStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Who connects through a file has no address.
const NO_ADDRESS: ([u8; 4], u16) = ([0, 0, 0, 0], 0);

/// Its owner and group may connect.
const MODE: u32 = 0o660;

impl ForwardSocket {
    /// Binds it.
    pub(super) async fn bind(listen: &ForwardListen) -> io::Result<Self> {
        match listen {
            ForwardListen::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            ForwardListen::Unix(path) => UnixSocketFile::bind(path).map(Self::Unix),
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Unix(file) => Ok(format!("unix:{}", file.path.display())),
        }
    }
}

impl UnixSocketFile {
    fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        let inode = fs::metadata(path)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }
}

/// Removes the file of a process that has ended: nobody answers there.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {}
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) => Err(error),
    }
}

impl Drop for UnixSocketFile {
    fn drop(&mut self) {
        // Another may have bound the path since.
        if fs::metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            fs::remove_file(&self.path).ok();
        }
    }
}

impl Accept for ForwardSocket {
    type Accepted = ForwardStream;

    async fn accept_one(&self) -> io::Result<(ForwardStream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers must not wait for more to say.
                stream.set_nodelay(true).ok();
                Ok((ForwardStream::Tcp(stream), peer))
            }
            Self::Unix(file) => {
                let (stream, _) = file.listener.accept().await?;
                Ok((ForwardStream::Unix(stream), NO_ADDRESS.into()))
            }
        }
    }
}

impl ForwardStream {
    /// Who is at the other end, for a person.
    pub(super) fn name(&self, peer: SocketAddr) -> String {
        match self {
            Self::Tcp(_) => peer.to_string(),
            Self::Unix(stream) => match stream.peer_cred() {
                Ok(peer) => match peer.pid() {
                    Some(pid) => format!("process {pid} of user {}", peer.uid()),
                    None => format!("user {}", peer.uid()),
                },
                Err(_) => shown(NO_ADDRESS.into()),
            },
        }
    }
}

/// An address, for a person.
pub(super) fn shown(peer: SocketAddr) -> String {
    if peer == NO_ADDRESS.into() { "a process of this host".to_owned() } else { peer.to_string() }
}

impl AsyncRead for ForwardStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ForwardStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_file_replaces_a_stale_one_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fluent.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left by a process that has ended");
        let file = UnixSocketFile::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(UnixSocketFile::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert_eq!(UnixSocketFile::bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
