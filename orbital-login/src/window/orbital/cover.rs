//! The window that covers a session, where this Orbital has such a one: that of `cookbook-patches/orbital-lock.patch`.
//!
//! What always holds here: while it is shown, Orbital draws nothing else and gives keys and pointer to nobody else. If this
//! program dies meanwhile, Orbital stays like that until the next one opens its own.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

use libredox::call;
use orbclient::{Event, EventOption, Window, WindowFlag};

/// Of a hidden window that needs no pixels.
const SMALL: (u32, u32) = (64, 64);
/// Added to the code of a key that was pressed with Super.
const SUPER: i64 = 0x1000_0000;
/// The key that locks, with Super.
const LOCK_KEY: u8 = orbclient::K_L;
/// No idle time is longer.
const DIGITS_MAX: usize = 24;

pub(super) struct Cover {
    window: Window,
    shown: bool,
}

impl Cover {
    /// Opens it, hidden; without one the session cannot be covered.
    pub(super) fn open() -> Option<Self> {
        let flags = [
            WindowFlag::Async,
            WindowFlag::Borderless,
            WindowFlag::Hidden,
            WindowFlag::Unclosable,
        ];
        let window = Window::new_flags(0, 0, SMALL.0, SMALL.1, "", &flags)?;
        call::write(window.as_raw_fd() as usize, b"L").ok()?;
        Some(Self {
            window,
            shown: false,
        })
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    pub(super) fn window(&mut self) -> &mut Window {
        &mut self.window
    }

    /// Covers everything, with what is drawn next.
    pub(super) fn show(&mut self) -> Result<(), String> {
        let (width, height) = orbclient::get_display_size()?;
        self.window.set_size(width, height);
        self.window.set_flag(WindowFlag::Hidden, false);
        self.shown = true;
        Ok(())
    }

    pub(super) fn hide(&mut self) {
        if self.shown {
            self.window.set_flag(WindowFlag::Hidden, true);
            self.window.set_size(SMALL.0, SMALL.1);
            self.shown = false;
        }
    }

    /// For how long nobody has used keyboard and pointer.
    pub(super) fn idle(&self) -> Option<Duration> {
        let fd = call::dup(self.window.as_raw_fd() as usize, b"idle").ok()?;
        // SAFETY: it was just made and belongs to nobody else.
        let file = unsafe { File::from_raw_fd(RawFd::try_from(fd).ok()?) };
        let mut text = [0; DIGITS_MAX];
        let count = (&file).read(&mut text).ok()?;
        let text = std::str::from_utf8(&text[..count]).ok()?;
        text.parse().ok().map(Duration::from_millis)
    }
}

/// Whether a window that is hidden is told by this that the session be locked.
pub(super) fn is_lock_key(event: Event) -> bool {
    let key = Event {
        code: event.code.wrapping_sub(SUPER),
        ..event
    };
    matches!(key.to_option(), EventOption::Key(key) if key.scancode == LOCK_KEY && key.pressed)
}
