//! A TCP proxy between two programs that simulates network faults: a partition, in which no bytes pass and no side gets an
//! error (as when a cable is pulled), and the reset of every connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Forwards connections from its own port to a target. It stops when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

#[derive(Default)]
struct State {
    is_partitioned: AtomicBool,
    resets: AtomicU64,
}

impl Proxy {
    /// Starts a proxy to `target` on a free port of 127.0.0.1.
    pub fn new(target: SocketAddr) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        runtime.spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    if let Ok(to) = TcpStream::connect(target).await {
                        forward(from, to, &state).await;
                    }
                });
            }
        });
        Proxy { address, state, _runtime: runtime }
    }

    /// Returns the address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a partition: bytes are held back, and connections stay open.
    pub fn partition(&self) {
        self.state.is_partitioned.store(true, Relaxed);
    }

    /// Ends the partition: the bytes that were held back are delivered.
    pub fn heal(&self) {
        self.state.is_partitioned.store(false, Relaxed);
    }

    /// Closes every open connection.
    pub fn reset_connections(&self) {
        self.state.resets.fetch_add(1, Relaxed);
    }
}

async fn forward(from: TcpStream, to: TcpStream, state: &State) {
    let resets = state.resets.load(Relaxed);
    let (mut from_in, mut from_out) = from.into_split();
    let (mut to_in, mut to_out) = to.into_split();
    let reset = async {
        while state.resets.load(Relaxed) == resets {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = copy_one_way(&mut from_in, &mut to_out, state) => {}
        () = copy_one_way(&mut to_in, &mut from_out, state) => {}
        () = reset => {}
    }
}

async fn copy_one_way(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), state: &State) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut bytes).await {
        while state.is_partitioned.load(Relaxed) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
