//! The window on other systems, through orbclient's desktop backend (SDL).
//!
//! What always holds here: events are taken from SDL itself. The backend takes the Super key for Home and passes neither Caps
//! Lock nor the keypad's Enter on; it loses characters that come many at a time, and clicks that are short.

mod cover;
mod x11;

use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

use orbclient::{MediaKind, Window, WindowFlag};
use sdl2::sys;

use self::cover::Cover;
use self::x11::X11;
use super::heard::Heard;
use crate::keyboard::code;

/// Whether the window cannot be closed.
pub const CLOSES_NEVER: bool = false;
/// Events taken at once at most.
const EVENTS_MAX: usize = 256;
/// How often it is looked whether the screen has another size: nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a window that covers a session is put in front again.
const HOLD_EVERY: Duration = Duration::from_millis(200);

/// Systems that take pixels from memory as they are. Through a renderer, which is what SDL would choose, they go the long way
/// round where there is no graphics processor.
const TAKE_PIXELS: [&str; 3] = ["x11", "wayland", "windows"];

/// The window. It is hidden rather than closed: the backend does not survive its last window.
pub struct Shell {
    window: Window,
    shown: bool,
    /// It covers the whole screen.
    whole: bool,
    x11: Option<X11>,
    /// It covers a session.
    cover: Option<Cover>,
    driver: String,
    caps: Option<bool>,
    /// The keyboard layouts, and when they were looked at.
    layouts: (Vec<String>, Instant),
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
        // It would let go of a pointer that the window holds.
        hint(sys::SDL_HINT_MOUSE_AUTO_CAPTURE, c"0");
        // A screen that nobody looks at goes dark as it does otherwise: said before SDL starts, which would keep it lit.
        hint(sys::SDL_HINT_VIDEO_ALLOW_SCREENSAVER, c"1");
        let screen = orbclient::get_display_size()?;
        let driver = driver();
        if TAKE_PIXELS.contains(&driver.as_str()) {
            // Said otherwise in the environment, that counts.
            hint(sys::SDL_HINT_FRAMEBUFFER_ACCELERATION, c"0");
        }
        let x11 = (driver == "x11").then(X11::open).flatten();
        let ((width, height), kind) = match size {
            Some(size) => (size, WindowFlag::Resizable),
            None => (screen, WindowFlag::Borderless),
        };
        let flags = [WindowFlag::Async, kind];
        let window = Window::new_flags(0, 0, width, height, "SafeOS", &flags)
            .ok_or("no window can be opened")?;
        let layouts = x11.as_ref().map(X11::layouts).unwrap_or_default();
        Ok(Self {
            window,
            shown: true,
            whole: size.is_none(),
            layouts: (layouts, Instant::now()),
            x11,
            cover: None,
            driver,
            caps: None,
        })
    }

    /// The handle by which other threads wake this one.
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
        if let Some(cover) = self.cover.take() {
            cover.give_back();
        }
    }

    /// Brings the window up in front of a session, which gets neither keys nor clicks from then on; or says why not.
    pub fn cover(&mut self) -> Result<(), String> {
        if !self.whole {
            return Err(
                "the sign-in screen is a window (--size) and covers only itself".to_owned(),
            );
        }
        let cover = Cover::of(self.window.id()).ok_or_else(|| {
            format!(
                "this display ({}) lets no program take the whole screen with its keyboard: only an X display does",
                self.driver
            )
        })?;
        if !cover.take() {
            return Err(
                "another program holds the keyboard or the pointer, an open menu for instance"
                    .to_owned(),
            );
        }
        self.follow_the_screen(&mut Vec::new());
        self.show()?;
        cover.hold();
        self.cover = Some(cover);
        Ok(())
    }

    /// A window as others again.
    pub fn uncover(&mut self) {
        if self.cover.is_some() {
            self.hide();
        }
    }

    /// How large everything is at least, in percent, where the display says it.
    pub fn percent(&self) -> Option<u16> {
        self.x11.as_ref()?.percent()
    }

    /// For how long nobody has used keyboard and pointer, where that is counted.
    pub fn idle(&self) -> Option<Duration> {
        self.x11.as_ref()?.idle()
    }

    /// Calls `wanted` on another thread when the key for it is pressed, where there is one.
    pub fn watch_lock_key(&self, wanted: impl Fn() + Send + 'static) {
        if self.x11.is_some() && self.whole {
            x11::watch_lock_key(wanted);
        }
    }

    /// The window has another size.
    pub fn resized(&mut self) {
        self.window.sync_path();
    }

    /// The keyboard layouts of the display.
    pub fn keymaps(&self) -> Vec<String> {
        self.layouts.0.clone()
    }

    /// Uses one of them.
    pub fn set_keymap(&self, name: &str) {
        let Some(x11) = &self.x11 else {
            return;
        };
        if let Some(number) = self.layouts.0.iter().position(|layout| layout == name) {
            x11.use_layout(number);
        }
    }

    /// Forgets what was copied.
    pub fn clear_clipboard(&mut self) {
        self.window.set_clipboard("", MediaKind::Text);
    }

    /// The copied text.
    pub fn clipboard(&mut self) -> Option<String> {
        self.window.clipboard().map(|(_, text)| text)
    }

    /// Waits for something to hear, at most so long.
    pub fn wait(&mut self, at_most: Duration) -> Vec<Heard> {
        let at_most = match self.whole && self.shown && self.x11.is_some() {
            true => at_most.min(LOOK_EVERY),
            false => at_most,
        };
        let at_most = match &self.cover {
            Some(cover) => {
                cover.hold();
                at_most.min(HOLD_EVERY)
            }
            None => at_most,
        };
        let milliseconds = i32::try_from(at_most.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        let mut all = Vec::new();
        // SAFETY: an event is plain numbers, and pointers that may be null, for which zero is valid.
        let mut event: sys::SDL_Event = unsafe { std::mem::zeroed() };
        // SAFETY: the event lives until the call returns; the call is made on the thread that opened the window.
        let mut came = unsafe { sys::SDL_WaitEventTimeout(&raw mut event, milliseconds) == 1 };
        for _ in 0..EVENTS_MAX {
            if !came {
                break;
            }
            heard(&event, &mut all);
            // SAFETY: the same, without waiting.
            came = unsafe { sys::SDL_PollEvent(&raw mut event) == 1 };
        }
        if let Some(cover) = self.cover.as_ref().filter(|_| !all.is_empty()) {
            // What SDL has heard may have made it let go.
            cover.hold();
        }
        self.look_at_caps(&mut all);
        self.look_at_layouts(&mut all);
        self.follow_the_screen(&mut all);
        all
    }

    /// Before what was typed: it was typed with it.
    fn look_at_caps(&mut self, all: &mut Vec<Heard>) {
        let now = match &self.x11 {
            Some(x11) => x11.caps(),
            None => {
                // SAFETY: reads a number that SDL keeps.
                let held = unsafe { SDL_GetModState() };
                held & sys::SDL_Keymod::KMOD_CAPS as u32 != 0
            }
        };
        if self.caps.replace(now) != Some(now) {
            all.insert(0, Heard::Caps(now));
        }
    }

    /// Somebody may set others while the screen is there; nobody tells.
    fn look_at_layouts(&mut self, all: &mut Vec<Heard>) {
        let Some(x11) = &self.x11 else {
            return;
        };
        if self.layouts.1.elapsed() < LOOK_EVERY {
            return;
        }
        let now = x11.layouts();
        if now != self.layouts.0 {
            all.push(Heard::Layouts);
        }
        self.layouts = (now, Instant::now());
    }

    /// A window over the whole screen stays one when the screen gets another size.
    fn follow_the_screen(&mut self, all: &mut Vec<Heard>) {
        use orbclient::Renderer;
        let Some(size) = self.x11.as_ref().and_then(X11::size).filter(|_| self.whole) else {
            return;
        };
        if size != (self.window.width(), self.window.height()) {
            self.window.set_size(size.0, size.1);
            self.window.set_pos(0, 0);
            all.push(Heard::Resized);
        }
    }
}

unsafe extern "C" {
    /// As a number: several keys may be held, for which the bindings have no name.
    fn SDL_GetModState() -> u32;
}

/// The name of SDL's video driver.
fn driver() -> String {
    // SAFETY: gives a text that stays, or null.
    let name = unsafe { sys::SDL_GetCurrentVideoDriver() };
    if name.is_null() {
        return String::new();
    }
    // SAFETY: it is not null, and ends with a zero.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_string_lossy().into_owned()
}

/// Tells SDL something, unless the environment does.
fn hint(name: &[u8], value: &CStr) {
    if let Ok(name) = CStr::from_bytes_with_nul(name) {
        // SAFETY: both texts end with a zero and live until the call returns.
        unsafe { sys::SDL_SetHint(name.as_ptr(), value.as_ptr()) };
    }
}

/// The meaning of an event of SDL.
fn heard(event: &sys::SDL_Event, all: &mut Vec<Heard>) {
    use sys::SDL_EventType as Kind;
    // SAFETY: the kind stands at the start of every event, and says which of them it is.
    let kind = unsafe { event.type_ };
    let is = |other: Kind| kind == other as u32;
    if is(Kind::SDL_KEYDOWN) || is(Kind::SDL_KEYUP) {
        // SAFETY: it is this one. Its key's code is read as a number: it may be one without a name.
        let (scancode, sym, held) = unsafe {
            let key = &event.key.keysym;
            let scancode = (&raw const key.scancode).cast::<u32>().read();
            (scancode, key.sym, u32::from(key.mod_))
        };
        let locked = held & sys::SDL_Keymod::KMOD_NUM as u32 != 0;
        let figures = locked != (held & SHIFTS != 0);
        let code = of_scancode(scancode, figures);
        if is(Kind::SDL_KEYDOWN) {
            all.extend(pad_moves(scancode, locked, figures).map(Heard::PadMoves));
        }
        all.push(Heard::Key(
            code,
            character(scancode, sym),
            is(Kind::SDL_KEYDOWN),
        ));
    } else if is(Kind::SDL_TEXTINPUT) {
        // SAFETY: it is this one.
        let text = unsafe { &event.text.text };
        let bytes: Vec<u8> = (text.iter().map(|byte: &c_char| *byte as u8))
            .take_while(|byte| *byte != 0)
            .collect();
        let bytes = zeroize::Zeroizing::new(bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            all.extend(text.chars().map(Heard::Text));
        }
    } else if is(Kind::SDL_MOUSEMOTION) {
        // SAFETY: it is this one.
        let motion = unsafe { &event.motion };
        all.push(Heard::Pointer(motion.x, motion.y));
    } else if is(Kind::SDL_MOUSEBUTTONDOWN) || is(Kind::SDL_MOUSEBUTTONUP) {
        // SAFETY: it is this one.
        let button = unsafe { &event.button };
        if u32::from(button.button) == sys::SDL_BUTTON_LEFT {
            // It says where it was, also where nothing moved before.
            all.push(Heard::Pointer(button.x, button.y));
            all.push(Heard::Button(is(Kind::SDL_MOUSEBUTTONDOWN)));
        }
    } else if is(Kind::SDL_MOUSEWHEEL) {
        // SAFETY: it is this one.
        let wheel = unsafe { &event.wheel };
        all.push(Heard::Scroll(wheel.y.saturating_neg()));
    } else if is(Kind::SDL_WINDOWEVENT) {
        use sys::SDL_WindowEventID as Id;
        // SAFETY: it is this one.
        let id = u32::from(unsafe { event.window.event });
        if id == Id::SDL_WINDOWEVENT_FOCUS_GAINED as u32 {
            all.push(Heard::Focus(true));
        } else if id == Id::SDL_WINDOWEVENT_FOCUS_LOST as u32 {
            all.push(Heard::Focus(false));
        } else if [
            Id::SDL_WINDOWEVENT_RESIZED,
            Id::SDL_WINDOWEVENT_SIZE_CHANGED,
            Id::SDL_WINDOWEVENT_EXPOSED,
        ]
        .iter()
        .any(|other| id == *other as u32)
        {
            all.push(Heard::Resized);
        }
    } else if is(Kind::SDL_RENDER_TARGETS_RESET) {
        all.push(Heard::Resized);
    } else if is(Kind::SDL_QUIT) {
        all.push(Heard::Quit);
    }
}

/// Either Shift: with it the keypad does what it does not do by Num Lock.
const SHIFTS: u32 = sys::SDL_Keymod::KMOD_LSHIFT as u32 | sys::SDL_Keymod::KMOD_RSHIFT as u32;

/// Whether the digits of the keypad move, as far as the key that is pressed shows it.
fn pad_moves(scancode: u32, locked: bool, figures: bool) -> Option<bool> {
    match scancode {
        _ if locked => Some(false),
        // 1 to 9, 0, and the decimal point.
        89..=99 if !figures => Some(true),
        _ => None,
    }
}

/// The code of a key by its place (a usage number of USB's keyboards). Keys of the keypad that type no figures move.
fn of_scancode(scancode: u32, figures: bool) -> u8 {
    match scancode {
        40 => code::ENTER,
        41 => code::ESCAPE,
        42 => code::BACKSPACE,
        43 => code::TAB,
        57 => code::CAPS,
        73 => code::INSERT,
        74 => code::HOME,
        75 => code::PAGE_UP,
        76 => code::DELETE,
        77 => code::END,
        78 => code::PAGE_DOWN,
        79 => code::RIGHT,
        80 => code::LEFT,
        81 => code::DOWN,
        82 => code::UP,
        88 => code::PAD_ENTER,
        89 if !figures => code::END,
        90 if !figures => code::DOWN,
        91 if !figures => code::PAGE_DOWN,
        92 if !figures => code::LEFT,
        94 if !figures => code::RIGHT,
        95 if !figures => code::HOME,
        96 if !figures => code::UP,
        97 if !figures => code::PAGE_UP,
        98 if !figures => code::INSERT,
        99 if !figures => code::DELETE,
        224 | 228 => code::CONTROL,
        225 => code::LEFT_SHIFT,
        226 | 230 => code::ALT,
        229 => code::RIGHT_SHIFT,
        _ => 0,
    }
}

/// The letter that a key types by itself: on a layout without Latin letters the one of a layout that has them.
fn character(scancode: u32, sym: i32) -> char {
    let by_layout = u32::try_from(sym).ok().and_then(char::from_u32);
    match by_layout.filter(char::is_ascii_graphic) {
        Some(character) => character,
        None => match scancode {
            4..=29 => char::from(b'a' + (scancode - 4) as u8),
            _ => '\0',
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scancode: u32, sym: i32, held: u16, down: bool) -> Vec<Heard> {
        // SAFETY: an event is plain numbers, and pointers that may be null, for which zero is valid.
        let mut event: sys::SDL_Event = unsafe { std::mem::zeroed() };
        let kind = match down {
            true => sys::SDL_EventType::SDL_KEYDOWN,
            false => sys::SDL_EventType::SDL_KEYUP,
        };
        event.key.type_ = kind as u32;
        // SAFETY: the same event as above; the code is one that has a name.
        unsafe {
            event.key.keysym.sym = sym;
            event.key.keysym.mod_ = held;
            (&raw mut event.key.keysym.scancode)
                .cast::<u32>()
                .write(scancode);
        }
        let mut all = Vec::new();
        heard(&event, &mut all);
        all
    }

    #[test]
    fn keys_that_the_backend_loses_are_heard() {
        assert_eq!(
            key(88, 0, 0, true),
            [Heard::Key(code::PAD_ENTER, '\0', true)]
        );
        assert_eq!(key(57, 0, 0, false), [Heard::Key(code::CAPS, '\0', false)]);
        // Super is no key that moves.
        for super_key in [227, 231] {
            assert_eq!(key(super_key, 0, 0, true), [Heard::Key(0, '\0', true)]);
        }
    }

    #[test]
    fn digits_of_the_keypad_do_what_num_lock_and_shift_say() {
        let locked = sys::SDL_Keymod::KMOD_NUM as u16;
        let shift = sys::SDL_Keymod::KMOD_RSHIFT as u16;
        let moves = Heard::Key(code::UP, '\0', true);
        let types = Heard::Key(0, '\0', true);
        assert_eq!(key(96, 0, 0, true), [Heard::PadMoves(true), moves]);
        assert_eq!(key(96, 0, locked, true), [Heard::PadMoves(false), types]);
        assert_eq!(key(96, 0, shift, true), [types]);
        let both = locked | shift;
        assert_eq!(key(96, 0, both, true), [Heard::PadMoves(false), moves]);
        // Other keys say something only while it is on, as its own does then.
        assert_eq!(key(83, 0, locked, true), [Heard::PadMoves(false), types]);
        assert_eq!(key(83, 0, 0, true), [types]);
        // Its five moves nowhere, and is to type too.
        assert_eq!(key(93, 0, 0, true), [Heard::PadMoves(true), types]);
        // Those around the digits are the same with it and without.
        assert_eq!(key(87, 0, 0, true), [types]);
    }

    #[test]
    fn shortcuts_go_by_the_layout_and_by_the_place_where_it_has_no_letters() {
        assert_eq!(
            key(20, i32::from(b'a'), 0, true),
            [Heard::Key(0, 'a', true)]
        );
        // The Russian letter on that key.
        assert_eq!(key(4, 0x444, 0, true), [Heard::Key(0, 'a', true)]);
    }

    #[test]
    fn what_is_typed_at_once_arrives_at_once() {
        // SAFETY: an event is plain numbers, and pointers that may be null, for which zero is valid.
        let mut event: sys::SDL_Event = unsafe { std::mem::zeroed() };
        event.text.type_ = sys::SDL_EventType::SDL_TEXTINPUT as u32;
        let typed = "Zoë types twenty letter";
        // SAFETY: the same event as above.
        let text = unsafe { &mut event.text.text };
        for (to, from) in text.iter_mut().zip(typed.bytes()) {
            *to = from as c_char;
        }
        let mut all = Vec::new();
        heard(&event, &mut all);
        let characters: Vec<Heard> = typed.chars().map(Heard::Text).collect();
        assert_eq!(all, characters);
    }
}
