//! The connections of a port: how many there are, and how long one may be silent. A connection costs memory and a file
//! before anything is known of its caller.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dqa_pipelines::causes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

/// The limits of a port's connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Connections at once. A worker, a user and a browser have one or a few each.
    pub(super) connections_max: usize,
    /// Time without a byte in either direction. Pings cross a connection of gRPC every few seconds, and comments one of a
    /// page's events.
    pub(super) silence_max: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits { connections_max: 4096, silence_max: Duration::from_secs(300) }
    }
}

/// Wait after a connection cannot be accepted, usually because the process has no files left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Accepts connections within limits. At the limit those that follow wait until another ends.
pub(super) fn accept(
    listener: TcpListener,
    limits: ConnectionLimits,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    futures::stream::unfold(listener, move |listener| {
        let permits = permits.clone();
        async move {
            if permits.available_permits() == 0 {
                warn!(limit = limits.connections_max, "a new connection waits until another ends");
            }
            let permit = permits.acquire_owned().await.expect("it is never closed");
            let stream = accept_one(&listener).await;
            Some((Ok(Connection::new(stream, permit, limits.silence_max)), listener))
        }
    })
}

/// Accepts a connection, however often that fails: a port is served until its program ends.
async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                warn!(error = %causes(&error), "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// A connection that ends when it was silent for too long.
pub(super) struct Connection {
    stream: TcpStream,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, silence_max: Duration) -> Connection {
        // Answers are small; without it each waits for the acknowledgement of the last. An error means a closed connection.
        let _ = stream.set_nodelay(true);
        Connection { stream, silence_max, silence: Box::pin(sleep(silence_max)), _permit: permit }
    }

    /// Begins a new silence.
    fn has_moved(&mut self) {
        let deadline = Instant::now() + self.silence_max;
        self.silence.as_mut().reset(deadline);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.has_moved();
            return Poll::Ready(read);
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.has_moved();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bytes));
        self.has_moved();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    async fn connect(listener: &TcpListener) -> TcpStream {
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_for_another_to_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _callers = [connect(&listener).await, connect(&listener).await, connect(&listener).await];
        let limits = ConnectionLimits { connections_max: 2, ..ConnectionLimits::default() };
        let mut accepted = pin!(accept(listener, limits));
        let first = accepted.next().await.unwrap().unwrap();
        let _second = accepted.next().await.unwrap().unwrap();
        {
            let third = pin!(accepted.next());
            assert!(futures::poll!(third).is_pending());
        }
        drop(first);
        accepted.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_silent_connection_ends_and_another_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_silent, mut talking) = (connect(&listener).await, connect(&listener).await);
        let limits = ConnectionLimits { silence_max: Duration::from_millis(400), ..ConnectionLimits::default() };
        let mut accepted = pin!(accept(listener, limits));
        let mut silent = accepted.next().await.unwrap().unwrap();
        let mut answering = accepted.next().await.unwrap().unwrap();
        let talk = async {
            for _ in 0..20 {
                talking.write_all(b"a").await.unwrap();
                assert_eq!(answering.read_u8().await.unwrap(), b'a');
                sleep(Duration::from_millis(50)).await;
            }
        };
        let (ended, ()) = tokio::join!(silent.read_u8(), talk);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
