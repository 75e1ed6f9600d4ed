//! The window on other systems, through orbclient's desktop backend (SDL).

use std::time::Duration;

use orbclient::{Event, MediaKind, Window, WindowFlag};

/// Whether the window cannot be closed.
pub const CLOSES_NEVER: bool = false;
/// Events taken at once at most.
const EVENTS_MAX: usize = 256;

/// The window. It is hidden rather than closed: the backend does not survive its last window.
pub struct Shell {
    window: Window,
    shown: bool,
}

/// Ends a wait from another thread.
pub struct Waker(sdl2::event::EventSender);

impl Waker {
    /// Ends it.
    pub fn wake(&self) {
        let event = sdl2::event::Event::User {
            timestamp: 0,
            window_id: 0,
            type_: sdl2::event::EventType::User as u32,
            code: 0,
            data1: std::ptr::null_mut(),
            data2: std::ptr::null_mut(),
        };
        // A full queue ends the wait as well.
        let _ = self.0.push_event(event);
    }
}

impl Shell {
    /// Opens the window.
    pub fn open(size: Option<(u32, u32)>) -> Result<Self, String> {
        let ((width, height), kind) = match size {
            Some(size) => (size, WindowFlag::Resizable),
            None => (orbclient::get_display_size()?, WindowFlag::Borderless),
        };
        let flags = [WindowFlag::Async, kind];
        let window = Window::new_flags(0, 0, width, height, "SafeOS", &flags)
            .ok_or("no window can be opened")?;
        Ok(Self {
            window,
            shown: true,
        })
    }

    /// What other threads wake this one with.
    pub fn waker(&self) -> Waker {
        Waker(self.window.event_sender())
    }

    /// The window, while it is there.
    pub fn window(&mut self) -> Option<&mut Window> {
        self.shown.then_some(&mut self.window)
    }

    /// Brings the window up; whether it was not there.
    pub fn show(&mut self) -> Result<bool, String> {
        let was_hidden = !self.shown;
        if was_hidden {
            self.window.set_flag(WindowFlag::Hidden, false);
            self.shown = true;
        }
        Ok(was_hidden)
    }

    /// Takes the window away.
    pub fn hide(&mut self) {
        if self.shown {
            self.window.set_flag(WindowFlag::Hidden, true);
            self.shown = false;
        }
    }

    /// The screen has another size.
    pub fn resized(&mut self) {
        self.window.sync_path();
    }

    /// Forgets what was copied.
    pub fn clear_clipboard(&mut self) {
        self.window.set_clipboard("", MediaKind::Text);
    }

    /// Waits for events, at most so long.
    pub fn wait(&mut self, at_most: Duration) -> Vec<Event> {
        let milliseconds = i32::try_from(at_most.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        let mut events = Vec::new();
        // SAFETY: without a place for the event the call only waits; it is made on the thread that opened
        // the window.
        let mut waiting =
            unsafe { sdl2::sys::SDL_WaitEventTimeout(std::ptr::null_mut(), milliseconds) == 1 };
        while waiting && events.len() < EVENTS_MAX {
            events.extend(self.window.events());
            // SAFETY: the same, without waiting.
            waiting = unsafe { sdl2::sys::SDL_PollEvent(std::ptr::null_mut()) == 1 };
        }
        events
    }
}
