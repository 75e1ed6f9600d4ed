//! Small servers on this computer's own address: a listener that ends cleanly, plain files over HTTP, and SFTP.
//!
//! A [`Listener`] that is dropped accepts nothing more, closes every connection it has and waits for what served them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

/// The handler of one connection; the other sockets it uses are given to [`Sockets`], so that they are closed too.
type Handler = dyn Fn(TcpStream, &Sockets) + Send + Sync;

/// The open sockets of one connection.
#[derive(Default)]
pub struct Sockets(Mutex<(bool, Vec<TcpStream>)>);

impl Sockets {
    /// Closes this socket too when the listener ends; at once if it has ended.
    pub fn keep(&self, socket: &TcpStream) -> io::Result<()> {
        let socket = socket.try_clone()?;
        let mut kept = self.0.lock();
        if kept.0 {
            socket.shutdown(Shutdown::Both)?;
        }
        kept.1.push(socket);
        Ok(())
    }

    fn close(&self) {
        let mut kept = self.0.lock();
        kept.0 = true;
        for socket in &kept.1 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A server on a free port of 127.0.0.1, with a thread for each connection.
pub struct Listener {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts it.
    pub fn start(
        handler: impl Fn(TcpStream, &Sockets) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || accept(&listener, &stopped, Arc::new(handler)));
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, stop: &AtomicBool, handler: Arc<Handler>) {
    let mut connections: Vec<(Arc<Sockets>, JoinHandle<()>)> = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        connections.retain(|(_, thread)| !thread.is_finished());
        let sockets = Arc::new(Sockets::default());
        if sockets.keep(&client).is_err() {
            continue;
        }
        let (kept, handler) = (Arc::clone(&sockets), Arc::clone(&handler));
        let thread = thread::spawn(move || {
            handler(client, &kept);
            // The copies that are kept would hold the connection open.
            kept.close();
        });
        connections.push((sockets, thread));
    }
    for (sockets, _) in &connections {
        sockets.close();
    }
    for (_, thread) in connections {
        let _ = thread.join();
    }
}

/// Serves the files of a folder over HTTP: GET gives one, PUT stores one. One request for each connection.
pub fn files(folder: PathBuf) -> io::Result<Listener> {
    Listener::start(move |client, _| {
        let _ = answer(&client, &folder);
    })
}

fn answer(client: &TcpStream, folder: &Path) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1 << 18, client);
    let mut head = (&mut reader).take(16 << 10);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut length = 0;
    loop {
        let mut field = String::new();
        if head.read_line(&mut field)? == 0 {
            return Ok(());
        }
        match field.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            None if field.trim().is_empty() => break,
            _ => {}
        }
    }
    let path = Path::new(path.trim_start_matches('/'));
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let mut client = client;
    let done = match method {
        _ if !inside => None,
        "GET" => File::open(folder.join(path)).ok(),
        "PUT" => {
            let mut file = File::create(folder.join(path))?;
            io::copy(&mut (&mut reader).take(length), &mut file)?;
            file.sync_all()?;
            return client.write_all(
                b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        _ => None,
    };
    match done {
        Some(mut file) => {
            let length = file.metadata()?.len();
            write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            )?;
            io::copy(&mut file, &mut client).map(drop)
        }
        None => client
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}

/// Serves SFTP without ssh around it, which `sshfs -o directport` speaks: a process of `program` for each connection.
pub fn sftp(program: PathBuf) -> io::Result<Listener> {
    Listener::start(move |client, _| {
        if let Err(e) = sftp_process(&program, client) {
            eprintln!("{}: {e}", program.display());
        }
    })
}

fn sftp_process(program: &Path, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let input = OwnedFd::from(client.try_clone()?);
    let mut child = Command::new(program)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(OwnedFd::from(client)))
        .stderr(Stdio::null())
        .spawn()?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Listener, request: &[u8]) -> Vec<u8> {
        let mut client = TcpStream::connect(server.address()).unwrap();
        client.write_all(request).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answer
    }

    #[test]
    fn what_was_put_is_what_is_got_and_nothing_outside_of_the_folder_is() {
        let folder =
            std::env::temp_dir().join(format!("safeos-bench-files-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inside")).unwrap();
        std::fs::write(folder.join("outside"), b"no").unwrap();
        let server = files(folder.join("inside")).unwrap();
        let put = ask(
            &server,
            b"PUT /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        );
        assert!(put.starts_with(b"HTTP/1.1 201"), "{put:?}");
        let got = ask(&server, b"GET /a HTTP/1.1\r\n\r\n");
        assert!(got.ends_with(b"\r\n\r\nhello"), "{got:?}");
        let got = ask(&server, b"GET /../outside HTTP/1.1\r\n\r\n");
        assert!(got.starts_with(b"HTTP/1.1 404"), "{got:?}");
        drop(server);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_listener_that_is_dropped_closes_connections_that_do_nothing() {
        let server = Listener::start(|mut client, _| {
            let _ = client.read(&mut [0]);
        })
        .unwrap();
        let mut client = TcpStream::connect(server.address()).unwrap();
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
}
