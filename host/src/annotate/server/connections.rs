//! Connections, of which none is kept that says nothing: a page opens few, and closes them when it
//! is done.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at a time; others wait until one is free. Far below what a process may open.
const MOST: usize = 200;
/// How long nothing may come or go. No answer takes so long.
const SILENCE: Duration = Duration::from_secs(60);

/// Listens for connections.
pub(super) struct Connections {
    listener: TcpListener,
    free: Arc<Semaphore>,
    silence: Duration,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(MOST)), silence: SILENCE }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let place = Arc::clone(&self.free).acquire_owned().await;
            match (place, self.listener.accept().await) {
                (Ok(place), Ok((stream, address))) => {
                    let silence = self.silence;
                    let wait = Box::pin(tokio::time::sleep(silence));
                    return (Connection { stream, silence, wait, _place: place }, address);
                }
                // One that has gone away already, or no descriptor is free just now.
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends after silence.
pub(super) struct Connection {
    stream: TcpStream,
    silence: Duration,
    wait: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Starts to wait anew once something has come or gone, or ends the wait.
    fn listen<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            let end = Instant::now() + self.silence;
            self.wait.as_mut().reset(end);
            return done;
        }
        ready!(self.wait.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.listen(context, done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.listen(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;

    #[test]
    fn silence_ends_a_connection_and_frees_its_place() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut connections = Connections::new(listener);
            connections.silence = Duration::from_millis(50);
            let address = connections.local_addr().unwrap();
            let (mut clients, mut served) = (Vec::new(), Vec::new());
            for _ in 0..MOST {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(b"GET").unwrap();
                clients.push(client);
                served.push(connections.accept().await.0);
            }
            assert_eq!(connections.free.available_permits(), 0);
            let mut bytes = [0; 8];
            let mut read = async || {
                let mut buffer = ReadBuf::new(&mut bytes);
                let done =
                    poll_fn(|context| Pin::new(&mut served[0]).poll_read(context, &mut buffer));
                done.await.map(|()| buffer.filled().to_vec())
            };
            assert_eq!(read().await.unwrap(), b"GET");
            assert_eq!(read().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            served.clear();
            assert_eq!(connections.free.available_permits(), MOST);
        });
    }
}
