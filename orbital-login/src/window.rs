//! The window: events in, pixels out.
//!
//! What always holds here: it sleeps until something happens, the minute changes, something moves or what was typed
//! has stood there long enough; it draws only what has changed. While the launcher has the screen there is no window.

#[cfg(not(target_os = "redox"))]
mod desktop;
mod heard;
mod idle;
#[cfg(target_os = "redox")]
mod orbital;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use orbclient::{Color, Renderer};
use zeroize::Zeroizing;

#[cfg(not(target_os = "redox"))]
use desktop as system;
#[cfg(target_os = "redox")]
use orbital as system;

use self::heard::Heard;
use self::idle::Idle;
use crate::keyboard::{Input, Keyboard};
use crate::language::Locale;
use crate::paint::Painter;
use crate::session::{Host, Options, System};
use crate::settings::Settings;
use crate::state::{Abilities, Effect, Event, NoLock, Screen, State, Tell};
use crate::view::view;
use crate::worker::Worker;
use crate::{clock, computer};

/// The time between two pictures of something that moves.
const FRAME: Duration = Duration::from_millis(40);

/// A session that could not be covered is covered later.
const LOCK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How the window is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Its size; the whole screen's when missing.
    pub size: Option<(u32, u32)>,
    /// Everything is at least so large, in percent; what the display says when missing.
    pub percent: Option<u16>,
    /// End after one session.
    pub once: bool,
    /// A session is covered after so long without a key; never when missing.
    pub lock_after: Option<Duration>,
}

/// Shows the sign-in screen and runs sessions, for ever unless told otherwise.
pub fn run(options: Options, look: Look) -> Result<(), String> {
    let settings_path = options.state.join("login.json");
    let settings = Settings::load(&settings_path);
    let (network, only_network) = options.network();
    let server = options.server();
    let console = options.console;
    let mut host = System::new(options);
    let mut keymaps = host.keymaps();
    let abilities = Abilities {
        power: host.has_power(),
        network,
        only_network,
        server,
        locale: Locale::of_environment(),
    };
    if let Some(keymap) = &settings.keymap {
        host.aside().set_keymap(keymap);
    }
    let mut shell = system::Shell::open(look.size)?;
    let of_display = keymaps.is_empty();
    if of_display {
        keymaps = shell.keymaps();
    }
    let (tell, events) = mpsc::channel();
    let waker = shell.waker();
    let tell: Tell = Arc::new(move |event| {
        if tell.send(event).is_ok() {
            waker.wake();
        }
    });
    let no_thread = |error: std::io::Error| format!("no thread can be started: {error}");
    computer::watch(Arc::clone(&tell)).map_err(no_thread)?;
    host.listen(Arc::clone(&tell));
    let wanted = Arc::clone(&tell);
    shell.watch_lock_key(move || wanted(Event::LockWanted(None)));
    let worker = Worker::start(Box::new(host), settings_path, tell).map_err(no_thread)?;
    let mut state = State::new(settings, keymaps, abilities);
    state.console = console;
    state.percent = look.percent.or(shell.percent()).unwrap_or(state.percent);
    if let Some(keymap) = state.keymaps.get(state.keymap).filter(|_| of_display) {
        // The screen reports it.
        shell.set_keymap(keymap);
    }
    let mut painter = Painter::new();
    state.offer_languages(|language| painter.can_show(language.name()));
    let mut screen = Running {
        state,
        painter,
        keyboard: Keyboard::default(),
        pointer: (0, 0),
        last_key: Instant::now(),
        idle: Idle::default(),
        lock_after: look.lock_after,
        no_lock_before: Instant::now(),
        was_open: false,
    };
    let ended = screen.run(&mut shell, &worker, &events, look.once);
    worker.finish();
    ended
}

struct Running {
    state: State,
    painter: Painter,
    keyboard: Keyboard,
    pointer: (i32, i32),
    /// When a key or button was pressed last.
    last_key: Instant,
    idle: Idle,
    lock_after: Option<Duration>,
    /// When it did not work: not again before.
    no_lock_before: Instant,
    was_open: bool,
}

impl Running {
    fn run(
        &mut self,
        shell: &mut system::Shell,
        worker: &Worker,
        events: &Receiver<Event>,
        once: bool,
    ) -> Result<(), String> {
        let mut next_frame = Instant::now();
        loop {
            let (clock, minute) = clock::now();
            if self.state.clock != clock {
                self.update(Event::Clock(clock), shell, worker);
            }
            if self.state.is_moving() && Instant::now() >= next_frame {
                self.update(Event::Tick, shell, worker);
                next_frame = Instant::now() + FRAME;
            }
            if self.idle_left() == Some(Duration::ZERO) {
                self.update(Event::Idle, shell, worker);
            }
            let till_lock = self.lock_when_idle(shell, worker);
            if !self.state.covers() {
                shell.uncover();
            }
            if self.state.is_shown() {
                if shell.show()? {
                    // A key that was held when it went may have been released.
                    self.keyboard.let_go();
                    self.painter.lose_frame();
                }
                self.paint(shell);
            } else {
                shell.hide();
            }
            let mut wait = minute.min(till_lock);
            if self.state.is_moving() {
                wait = wait.min(next_frame.saturating_duration_since(Instant::now()));
            }
            if let Some(left) = self.idle_left() {
                wait = wait.min(left);
            }
            for event in shell.wait(wait) {
                if !self.window_event(event, shell, worker) {
                    return Ok(());
                }
            }
            while let Ok(event) = events.try_recv() {
                match event {
                    Event::LockWanted(asks) => {
                        let locked = self.lock(shell, worker);
                        if let Some(asks) = asks {
                            // Nobody may be waiting any more.
                            let _ = asks.send(locked);
                        }
                    }
                    event => self.update(event, shell, worker),
                }
            }
            let open = matches!(self.state.screen, Screen::Running(_) | Screen::Leaving(_))
                || self.state.is_locked();
            if once && self.was_open && !open && !self.state.is_busy() {
                return Ok(());
            }
            self.was_open = open;
        }
    }

    fn idle_left(&mut self) -> Option<Duration> {
        let after = self.state.idle_after();
        self.idle.left(after, self.last_key, Instant::now())
    }

    fn update(&mut self, event: Event, shell: &mut system::Shell, worker: &Worker) {
        for effect in self.state.update(event) {
            match effect {
                Effect::ClearClipboard => shell.clear_clipboard(),
                Effect::Keymap(name) => {
                    shell.set_keymap(&name);
                    worker.carry_out(Effect::Keymap(name));
                }
                Effect::Paste => {
                    if let Some(text) = shell.clipboard() {
                        self.update(Event::Pasted(Zeroizing::new(text)), shell, worker);
                    }
                }
                effect => worker.carry_out(effect),
            }
        }
    }

    /// Covers the session.
    fn lock(&mut self, shell: &mut system::Shell, worker: &Worker) -> Result<(), String> {
        match self.state.may_lock() {
            Ok(()) => {}
            Err(NoLock::Locked) => return Ok(()),
            Err(why) => return Err(why.words().to_owned()),
        }
        shell.cover()?;
        self.keyboard.let_go();
        self.painter.lose_frame();
        self.update(Event::Covered, shell, worker);
        Ok(())
    }

    /// Covers the session when nobody has used it for long; how long to wait until it is due.
    fn lock_when_idle(&mut self, shell: &mut system::Shell, worker: &Worker) -> Duration {
        let due = self.lock_after.filter(|_| self.state.may_lock().is_ok());
        let (Some(after), Some(idle)) = (due, due.and_then(|_| shell.idle())) else {
            return Duration::MAX;
        };
        let pause = self
            .no_lock_before
            .saturating_duration_since(Instant::now());
        let left = after.saturating_sub(idle).max(pause);
        if left.is_zero() && self.lock(shell, worker).is_err() {
            self.no_lock_before = Instant::now() + LOCK_AGAIN_AFTER;
            return LOCK_AGAIN_AFTER;
        }
        left
    }

    /// Takes what the window has heard; `false` when it was closed, where that is possible.
    fn window_event(&mut self, heard: Heard, shell: &mut system::Shell, worker: &Worker) -> bool {
        let mut inputs = [None, None];
        match heard {
            Heard::Key(code, character, pressed) => {
                inputs[0] = self.keyboard.key(code, character, pressed);
                self.last_key = Instant::now();
            }
            Heard::Text(character) => {
                inputs = self.keyboard.text(character).into();
                self.last_key = Instant::now();
            }
            Heard::Caps(on) => inputs[0] = self.keyboard.told_caps(on),
            Heard::PadMoves(moves) => inputs[0] = self.keyboard.told_pad(moves),
            Heard::Pointer(x, y) => {
                self.pointer = (x, y);
                let over = self.over();
                if over != self.state.hover {
                    self.update(Event::Hover(over), shell, worker);
                }
            }
            Heard::Button(down) => {
                self.last_key = Instant::now();
                let over = self.over();
                let event = if down {
                    Event::Press(over)
                } else {
                    Event::Release(over)
                };
                self.update(event, shell, worker);
            }
            Heard::Scroll(lines) => self.update(Event::Scroll(lines), shell, worker),
            Heard::Focus(focused) => {
                if !focused {
                    self.keyboard.let_go();
                }
                self.painter.lose_frame();
            }
            Heard::Layouts => self.update(Event::Keymaps(shell.keymaps()), shell, worker),
            Heard::Resized => {
                shell.resized();
                self.painter.lose_frame();
            }
            Heard::Quit => return system::CLOSES_NEVER || self.state.is_busy(),
        }
        for input in inputs.into_iter().flatten() {
            self.input(input, shell, worker);
        }
        true
    }

    fn input(&mut self, input: Input, shell: &mut system::Shell, worker: &Worker) {
        self.update(Event::Input(input), shell, worker);
    }

    fn over(&self) -> Option<crate::state::Target> {
        let (x, y) = self.pointer;
        self.painter.layout().and_then(|layout| layout.hit(x, y))
    }

    fn paint(&mut self, shell: &mut system::Shell) {
        let Some(window) = shell.window() else {
            return;
        };
        let (width, height) = (window.width(), window.height());
        let view = view(&self.state);
        let pixels = as_numbers(window.data_mut());
        let stride = pixels.len() / (height as usize).max(1);
        let size = (width as i32, height as i32);
        let parts = self.painter.paint(pixels, stride, size, &view);
        if !parts.is_empty() {
            let parts: Vec<_> = parts
                .iter()
                .map(|part| (part.x, part.y, part.w as u32, part.h as u32))
                .collect();
            window.update_rects(&parts);
        }
    }
}

/// The window's pixels as plain numbers.
fn as_numbers(pixels: &mut [Color]) -> &mut [u32] {
    // SAFETY: a `Color` is a `u32` and nothing else (`repr(transparent)`), so both slices have the same
    // layout; the borrow is passed on.
    unsafe { std::slice::from_raw_parts_mut(pixels.as_mut_ptr().cast::<u32>(), pixels.len()) }
}
