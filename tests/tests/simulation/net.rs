//! gRPC over simulated connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use tower::Service;
use turmoil::net::{TcpListener, TcpStream};

/// The port of every coordinator.
pub(super) const PORT: u16 = 7777;

/// A connection that is silent for this long is probed, and closed after this long again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Opens a channel to the coordinator on a machine.
pub(super) fn channel(machine: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{machine}:{PORT}")).expect("it is an address");
    endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(Connector)
}

#[derive(Clone)]
struct Connector;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let machine = uri.host().unwrap_or_default().to_owned();
        Box::pin(async move { Ok(TokioIo::new(TcpStream::connect((machine, PORT)).await?)) })
    }
}

/// The connections to a port.
pub(super) struct Incoming(BoxFuture<'static, (TcpListener, io::Result<Connection>)>);

impl Incoming {
    pub(super) fn new(listener: TcpListener) -> Incoming {
        Incoming(Box::pin(accept(listener)))
    }
}

async fn accept(listener: TcpListener) -> (TcpListener, io::Result<Connection>) {
    let accepted = listener.accept().await.map(|(stream, _)| Connection(stream));
    (listener, accepted)
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready((listener, accepted)) = self.0.as_mut().poll(context) else { return Poll::Pending };
        self.0 = Box::pin(accept(listener));
        Poll::Ready(Some(accepted))
    }
}

/// A connection that a port has accepted.
pub(super) struct Connection(TcpStream);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
