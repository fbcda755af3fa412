//! A network between two programs, which can be cut: nothing gets through for a time and nobody is told, as when a cable
//! is pulled; or every connection is reset.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Passes connections on from its own port. Dropped, it is gone.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    resets: AtomicU64,
}

impl Proxy {
    /// To `target`, from a port of its own.
    pub fn to(target: SocketAddr) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let of = state.clone();
        runtime.spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let state = of.clone();
                tokio::spawn(async move {
                    if let Ok(to) = TcpStream::connect(target).await {
                        pass(from, to, &state).await;
                    }
                });
            }
        });
        Proxy { address, state, _runtime: runtime }
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing gets through, and nobody is told.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Relaxed);
    }

    /// It is whole again; what was on its way arrives.
    pub fn mend(&self) {
        self.state.is_cut.store(false, Relaxed);
    }

    /// Every connection is reset.
    pub fn reset(&self) {
        self.state.resets.fetch_add(1, Relaxed);
    }
}

async fn pass(from: TcpStream, to: TcpStream, state: &State) {
    let resets = state.resets.load(Relaxed);
    let (mut from_in, mut from_out) = from.into_split();
    let (mut to_in, mut to_out) = to.into_split();
    let reset = async {
        while state.resets.load(Relaxed) == resets {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = one_way(&mut from_in, &mut to_out, state) => {}
        () = one_way(&mut to_in, &mut from_out, state) => {}
        () = reset => {}
    }
}

async fn one_way(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), state: &State) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut bytes).await {
        while state.is_cut.load(Relaxed) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
