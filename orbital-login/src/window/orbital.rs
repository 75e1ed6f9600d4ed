//! The window on Orbital.

mod cover;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use orbclient::{Event, EventOption, MediaKind, Window, WindowFlag};

use self::cover::Cover;
use super::heard::Heard;

/// Whether the window cannot be closed.
pub const CLOSES_NEVER: bool = true;

/// The window, while there is one.
pub struct Shell {
    window: Option<Window>,
    /// The one that covers a session, where there is such a one.
    cover: Option<Cover>,
    /// What is to be done when the key that locks is pressed.
    lock_wanted: Option<Box<dyn Fn() + Send>>,
    woken: File,
    wake: File,
    /// The button that points is down.
    down: bool,
}

/// Ends a wait from another thread.
pub struct Waker(File);

impl Waker {
    /// Ends it.
    pub fn wake(&self) {
        // A full pipe ends the wait as well.
        let _ = (&self.0).write(&[0]);
    }
}

fn pipe() -> std::io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: both were just made and belong to nobody else.
    let [reading, writing] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok((reading.into(), writing.into()))
}

impl Shell {
    /// Opens the window over the whole screen.
    pub fn open(_: Option<(u32, u32)>) -> Result<Self, String> {
        let (woken, wake) = pipe().map_err(|error| format!("no pipe can be made: {error}"))?;
        let mut shell = Self {
            window: None,
            cover: None,
            lock_wanted: None,
            woken,
            wake,
            down: false,
        };
        shell.show()?;
        // Last: a screen that was left covered shows what is below from here on.
        shell.cover = Cover::open();
        Ok(shell)
    }

    /// The handle by which other threads wake this one.
    pub fn waker(&self) -> Waker {
        // Without a second descriptor there is no waking, only the clock's.
        Waker(self.wake.try_clone().unwrap_or_else(|_| {
            // SAFETY: no descriptor; writing to it fails.
            unsafe { File::from_raw_fd(-1) }
        }))
    }

    /// The window, while it is there.
    pub fn window(&mut self) -> Option<&mut Window> {
        match &mut self.cover {
            Some(cover) if cover.is_shown() => Some(cover.window()),
            _ => self.window.as_mut(),
        }
    }

    /// Brings the window up; whether it was not there.
    pub fn show(&mut self) -> Result<bool, String> {
        if self.window().is_some() {
            return Ok(false);
        }
        let (width, height) = orbclient::get_display_size()?;
        let flags = [
            WindowFlag::Async,
            WindowFlag::Borderless,
            WindowFlag::Unclosable,
        ];
        let window = Window::new_flags(0, 0, width, height, "SafeOS", &flags)
            .ok_or("Orbital opens no window")?;
        self.window = Some(window);
        Ok(true)
    }

    /// Takes the window away.
    pub fn hide(&mut self) {
        self.window = None;
        self.uncover();
    }

    /// Brings a window up in front of a session, which gets neither keys nor clicks from then on; or says why not.
    pub fn cover(&mut self) -> Result<(), String> {
        let cover = (self.cover.as_mut())
            .ok_or("this Orbital lets every program put a window in front and take the keyboard")?;
        self.down = false;
        cover.show()
    }

    /// The session has the screen again.
    pub fn uncover(&mut self) {
        if let Some(cover) = &mut self.cover {
            cover.hide();
        }
    }

    /// For how long nobody has used keyboard and pointer, where that is counted.
    pub fn idle(&self) -> Option<Duration> {
        self.cover.as_ref()?.idle()
    }

    /// How large everything is to be at least: Orbital does not tell.
    pub fn percent(&self) -> Option<u16> {
        None
    }

    /// Calls `wanted` when the key for it is pressed, where Orbital tells.
    pub fn watch_lock_key(&mut self, wanted: impl Fn() + Send + 'static) {
        self.lock_wanted = Some(Box::new(wanted));
    }

    /// The screen has another size.
    pub fn resized(&mut self) {
        if let (Some(window), Ok((width, height))) = (self.window(), orbclient::get_display_size())
        {
            window.set_size(width, height);
        }
    }

    /// The layouts are the system's, not the window's.
    pub fn keymaps(&self) -> Vec<String> {
        Vec::new()
    }

    /// Nothing to do here.
    pub fn set_keymap(&self, _name: &str) {}

    /// Forgets what was copied.
    pub fn clear_clipboard(&mut self) {
        // The clipboard is reached through a window.
        let _ = self.show();
        if let Some(window) = &mut self.window {
            window.set_clipboard("", MediaKind::Text);
        }
    }

    /// The copied text.
    pub fn clipboard(&mut self) -> Option<String> {
        let window = self.window()?;
        let (kind, text) = window.clipboard()?;
        matches!(kind, MediaKind::Text).then_some(text)
    }

    /// Waits for something to hear, at most so long.
    pub fn wait(&mut self, at_most: Duration) -> Vec<Heard> {
        let entry = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut entries = vec![entry(self.woken.as_raw_fd())];
        entries.extend(self.window.as_ref().map(|window| entry(window.as_raw_fd())));
        if let Some(cover) = &mut self.cover {
            entries.push(entry(cover.window().as_raw_fd()));
        }
        let milliseconds = i32::try_from(at_most.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        // SAFETY: the entries live until the call returns, and their number is right.
        unsafe {
            libc::poll(
                entries.as_mut_ptr(),
                entries.len() as libc::nfds_t,
                milliseconds,
            )
        };
        let mut bytes = [0; 64];
        while matches!(self.woken.read(&mut bytes), Ok(count) if count == bytes.len()) {}
        let mut all = Vec::new();
        if let Some(window) = &mut self.window {
            all.extend(
                window
                    .events()
                    .filter_map(|event| heard(event, &mut self.down)),
            );
        }
        if let Some(cover) = &mut self.cover {
            let shown = cover.is_shown();
            for event in cover.window().events() {
                if shown {
                    all.extend(heard(event, &mut self.down));
                } else if cover::is_lock_key(event)
                    && let Some(wanted) = &self.lock_wanted
                {
                    wanted();
                }
            }
        }
        all
    }
}

/// The meaning of an event of Orbital.
fn heard(event: Event, down: &mut bool) -> Option<Heard> {
    Some(match event.to_option() {
        EventOption::Key(key) => Heard::Key(key.scancode, key.character, key.pressed),
        EventOption::TextInput(text) => Heard::Text(text.character),
        EventOption::Mouse(mouse) => Heard::Pointer(mouse.x, mouse.y),
        EventOption::Button(button) if button.left != *down => {
            *down = button.left;
            Heard::Button(button.left)
        }
        EventOption::Scroll(scroll) => Heard::Scroll(scroll.y.saturating_neg()),
        EventOption::Focus(focus) => Heard::Focus(focus.focused),
        EventOption::Resize(_) | EventOption::Screen(_) => Heard::Resized,
        EventOption::Quit(_) => Heard::Quit,
        _ => return None,
    })
}
