//! Many connections at once, from made-up neighbours: all of 127/8 reaches a server on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// A connection from one of this machine's many addresses.
pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// What each of a crowd does.
#[derive(Clone)]
pub struct Habit {
    /// The server.
    pub to: SocketAddr,
    /// Addresses that the crowd has, from 127.0.1.1 on.
    pub addresses: usize,
    /// What each says once it is connected; then it listens, and says no more.
    pub says: Arc<[u8]>,
    /// When it comes again after it was sent away; never, without it.
    pub again: Option<Duration>,
}

/// Connections that stay until this is dropped.
pub struct Crowd {
    _runtime: Runtime,
    said: Arc<AtomicUsize>,
}

impl Crowd {
    /// So many come.
    pub fn come(count: usize, habit: &Habit) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
        let said = Arc::new(AtomicUsize::new(0));
        for n in 0..count {
            runtime.spawn(one(n, habit.clone(), said.clone()));
        }
        Self { _runtime: runtime, said }
    }

    /// How often one has said what it says, or was sent away before.
    pub fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }
}

async fn one(n: usize, habit: Habit, said: Arc<AtomicUsize>) {
    let place = u8::try_from(n % habit.addresses % 250 + 1).expect("less than 251");
    let from = Ipv4Addr::new(127, 0, 1, place);
    loop {
        if let Ok(mut stream) = connect(from, habit.to).await {
            let told = stream.write_all(&habit.says).await;
            said.fetch_add(1, Ordering::SeqCst);
            if told.is_ok() {
                drop(stream.read_to_end(&mut Vec::new()).await);
            }
        }
        match habit.again {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return,
        }
    }
}
