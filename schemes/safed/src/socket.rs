//! Conversations on a socket, for commands that need the daemon and no mount: no FUSE is asked for.
//!
//! What always holds here: each connection is one conversation, with the user that the kernel says is at its other end;
//! only the daemon's own user and root are talked to. When the other end goes, its request stops.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use safeos_control::{ErrorReply, Reply};
use zeroize::Zeroizing;

use crate::control::{Control, Conversation};
use crate::daemon::Daemon;

const PORTION_LEN: usize = 64 * 1024;
/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

/// A socket that is listened at; it goes when this is dropped.
pub struct Listening {
    path: PathBuf,
    open: Arc<AtomicUsize>,
}

impl Listening {
    /// Whether no client is connected.
    pub fn is_quiet(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Its folder belongs to the caller that named it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers requests to `daemon` at the socket `path`, which must not be there yet.
pub fn serve(daemon: &Arc<Daemon>, path: &Path) -> io::Result<Listening> {
    let listener = UnixListener::bind(path)?;
    let control = Control::new(Arc::clone(daemon));
    let uid = daemon.uid;
    let open = Arc::new(AtomicUsize::new(0));
    let listening = Listening {
        path: path.to_owned(),
        open: Arc::clone(&open),
    };
    let thread = std::thread::Builder::new().name("safed-socket".to_owned());
    thread.spawn(move || {
        for stream in listener.incoming().flatten() {
            let known =
                safeos_control::peer(&stream).is_ok_and(|(peer, _)| peer == uid || peer == 0);
            if !known || open.load(Ordering::Acquire) >= CONNECTIONS_MAX {
                continue;
            }
            open.fetch_add(1, Ordering::AcqRel);
            let (control, count) = (Arc::clone(&control), Arc::clone(&open));
            let thread = std::thread::Builder::new().name("safed-talk".to_owned());
            let talking = thread.spawn(move || {
                if let Ok((uid, gid)) = safeos_control::peer(&stream) {
                    let conversation = Conversation::new(uid, gid, control);
                    talk(stream, &conversation);
                    conversation.close();
                }
                count.fetch_sub(1, Ordering::AcqRel);
            });
            if talking.is_err() {
                open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    })?;
    Ok(listening)
}

/// Takes requests and passes their answers on until the other end goes.
fn talk(mut stream: UnixStream, conversation: &Arc<Conversation>) {
    let mut portion = Zeroizing::new(vec![0; PORTION_LEN]);
    loop {
        let count = match stream.read(&mut portion) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let portion = &portion[..count];
        // Answers are read when a request is whole: a read before would end its line.
        let end = portion.iter().rposition(|byte| *byte == b'\n');
        let (whole, rest) = portion.split_at(end.map_or(0, |end| end + 1));
        let taken = whole.is_empty()
            || take(&mut stream, conversation, whole) && answer(&mut stream, conversation);
        if !taken || !(rest.is_empty() || take(&mut stream, conversation, rest)) {
            return;
        }
    }
}

/// Hands a part of a request on; false if the other end has gone.
fn take(stream: &mut UnixStream, conversation: &Arc<Conversation>, part: &[u8]) -> bool {
    if conversation.write(part).is_ok() {
        return true;
    }
    let busy = Reply::Error(ErrorReply {
        code: "busy".to_owned(),
        message: "the SafeOS daemon has too much to do: try again".to_owned(),
        retry: true,
    });
    stream.write_all(&busy.to_line()).is_ok()
}

/// Passes on the answers until there are no more; false if the other end has gone.
fn answer(stream: &mut UnixStream, conversation: &Arc<Conversation>) -> bool {
    loop {
        let (say, hear) = mpsc::channel();
        conversation.read(
            PORTION_LEN,
            true,
            Box::new(move |answer| {
                let _ = say.send(answer.map(|bytes| Zeroizing::new(bytes.to_vec())));
            }),
        );
        match hear.recv() {
            Ok(Ok(bytes)) if bytes.is_empty() => return true,
            Ok(Ok(bytes)) => {
                if stream.write_all(&bytes).is_err() {
                    return false;
                }
            }
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}
