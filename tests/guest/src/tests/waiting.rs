//! Waiting for an answer: not at all, until a signal, until an event.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

const CONTROL: &str = "/scheme/safe/.ctl";
/// A request whose answer takes a while: a password is stretched before the name is found to be unknown.
const SLOW: &[u8] =
    b"{\"sign_in\":{\"name\":\"nobody-of-this-name\",\"password\":\"a long password\"}}\n";

fn conversation(flags: i32) -> File {
    File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(CONTROL)
        .expect(CONTROL)
}

/// With O_NONBLOCK a read that would have to wait is EAGAIN.
pub fn a_read_that_does_not_wait_says_again() {
    let mut control = conversation(libc::O_NONBLOCK);
    control.write_all(b"\"status\"\n").unwrap();
    // Progress and answers come when they are there; between them there is nothing.
    let mut control_slow = conversation(libc::O_NONBLOCK);
    control_slow.write_all(SLOW).unwrap();
    let (mut again, mut said) = (0, Vec::new());
    let start = Instant::now();
    while !said.ends_with(b"\n") || !said.windows(7).any(|part| part == b"\"error\"") {
        let mut buffer = [0; 256];
        match control_slow.read(&mut buffer) {
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                again += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(start.elapsed() < Duration::from_secs(1800));
    }
    let said = String::from_utf8_lossy(&said);
    assert!(again > 0, "every read had something at once: {said}");
    assert!(said.contains("unknown_name"), "{said}");
}

extern "C" fn nothing(_: libc::c_int) {}

/// A signal to a program whose read waits ends the read with EINTR.
pub fn a_signal_ends_a_waiting_read() {
    // SAFETY: the handler does nothing; the structure is whole.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
            0
        );
    }
    let mut control = conversation(0);
    control.write_all(SLOW).unwrap();
    let own = std::process::id();
    std::thread::spawn(move || {
        // By then the first progress was read and the next read waits.
        std::thread::sleep(Duration::from_millis(1500));
        // SAFETY: takes plain numbers.
        unsafe { libc::kill(own as libc::pid_t, libc::SIGUSR1) };
    });
    let start = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        // SAFETY: the buffer lives until the call returns. `Read` would try again by itself in places.
        let count = unsafe {
            libc::read(
                control.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        if count < 0 {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}");
            break;
        }
        let said = String::from_utf8_lossy(&buffer[..count as usize]).into_owned();
        assert!(
            !said.contains("\"error\""),
            "it was answered before the signal came: {said}"
        );
        assert!(start.elapsed() < Duration::from_secs(600));
    }
}

/// `/scheme/event` tells when an answer can be read.
pub fn an_event_tells_of_an_answer() {
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Event {
        id: usize,
        flags: usize,
        data: usize,
    }
    const READ: usize = 1;
    let mut control = conversation(libc::O_NONBLOCK);
    let mut queue = File::options()
        .read(true)
        .write(true)
        .open("/scheme/event")
        .unwrap();
    let event = Event {
        id: control.as_raw_fd() as usize,
        flags: READ,
        data: 77,
    };
    let bytes = |event: &Event| {
        [event.id, event.flags, event.data]
            .map(usize::to_ne_bytes)
            .concat()
    };
    assert_eq!(queue.write(&bytes(&event)).unwrap(), size_of::<Event>());
    control.write_all(SLOW).unwrap();
    let mut said = String::new();
    while !said.contains("\"error\"") {
        let mut seen = [0; size_of::<Event>()];
        assert_eq!(queue.read(&mut seen).unwrap(), seen.len());
        assert_eq!(seen[16..], 77_usize.to_ne_bytes());
        let mut buffer = [0; 4096];
        match control.read(&mut buffer) {
            Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}
