//! Serves the page on loopback, hands it messages, and collects its answers.
//!
//! As much of HTTP/1.1 as one page of ours needs: bodies with a length, connections that stay open.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What the page says: the bytes of an answer, or why there will be none.
pub(crate) type Answer = Result<Vec<u8>, String>;

/// The two ends that a test holds. Dropping the sender ends the page's loop.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) messages: Sender<Vec<u8>>,
    pub(crate) answers: Receiver<Answer>,
}

/// Starts the server on a port that is free.
pub(crate) fn start() -> io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (messages, to_page) = channel();
    let (from_page, answers) = channel();
    let to_page = Arc::new(Mutex::new(to_page));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (to_page, from_page) = (Arc::clone(&to_page), from_page.clone());
            // A browser opens connections that it may never use.
            thread::spawn(move || serve(stream, &to_page, &from_page));
        }
    });
    Ok(Server { address, messages, answers })
}

/// Method, path and body of a request.
fn request(from: &mut BufReader<TcpStream>) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut length = 0;
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some((method, path, body)))
}

fn serve(
    stream: TcpStream,
    to_page: &Mutex<Receiver<Vec<u8>>>,
    from_page: &Sender<Answer>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some((method, path, body)) = request(&mut reader)? {
        let (status, kind, body) = match (method.as_str(), path.as_str()) {
            ("GET", "/") => ("200 OK", "text/html", include_bytes!("page.html").to_vec()),
            ("GET", "/page.js") => {
                ("200 OK", "text/javascript", include_bytes!("page.js").to_vec())
            }
            ("POST", "/next") => {
                // Where the test has ended, nobody listens.
                from_page.send(Ok(body)).ok();
                let next = to_page.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match next {
                    Ok(message) => ("200 OK", "application/octet-stream", message),
                    Err(_) => ("410 Gone", "text/plain", Vec::new()),
                }
            }
            ("POST", "/failed") => {
                from_page.send(Err(String::from_utf8_lossy(&body).into_owned())).ok();
                ("200 OK", "text/plain", Vec::new())
            }
            _ => ("404 Not Found", "text/plain", Vec::new()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\n\r\n"
        );
        writer.write_all(head.as_bytes())?;
        writer.write_all(&body)?;
    }
    Ok(())
}
