//! Keys of the keyboard, as the state machine knows them.
//!
//! What always holds here: a letter comes from the system's own text events, after layout, Shift and dead
//! keys; from key codes come only the keys that move and act. The codes are those of Orbital (and of the
//! desktop backend), which are those of the first PC keyboards.

/// A key that does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// To the next field or button.
    Tab,
    /// To the one before.
    BackTab,
    /// Does what is chosen.
    Enter,
    /// Stops, closes, goes back.
    Escape,
    /// Removes to the left.
    Backspace,
    /// Removes to the right.
    Delete,
    /// Moves left.
    Left,
    /// Moves right.
    Right,
    /// Moves up.
    Up,
    /// Moves down.
    Down,
    /// To the start.
    Home,
    /// To the end.
    End,
}

/// What a key event of the window comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A character was typed.
    Text(char),
    /// A key was pressed.
    Key(Key),
    /// Caps Lock was turned on or off, as far as can be told.
    Caps(bool),
}

mod code {
    pub const ESCAPE: u8 = 0x01;
    pub const BACKSPACE: u8 = 0x0e;
    pub const TAB: u8 = 0x0f;
    pub const ENTER: u8 = 0x1c;
    pub const CONTROL: u8 = 0x1d;
    pub const LEFT_SHIFT: u8 = 0x2a;
    pub const RIGHT_SHIFT: u8 = 0x36;
    pub const ALT: u8 = 0x38;
    pub const CAPS: u8 = 0x3a;
    pub const HOME: u8 = 0x47;
    pub const UP: u8 = 0x48;
    pub const LEFT: u8 = 0x4b;
    pub const RIGHT: u8 = 0x4d;
    pub const END: u8 = 0x4f;
    pub const DOWN: u8 = 0x50;
    pub const DELETE: u8 = 0x53;
    pub const PAD_ENTER: u8 = 0x7f;
}

/// What is held down, and what Caps Lock seems to be.
#[derive(Clone, Copy, Default, Debug)]
pub struct Keyboard {
    left_shift: bool,
    right_shift: bool,
    control: bool,
    alt: bool,
    caps: bool,
}

impl Keyboard {
    fn shift(self) -> bool {
        self.left_shift || self.right_shift
    }

    /// A key went down or up.
    pub fn key(&mut self, scancode: u8, pressed: bool) -> Option<Input> {
        match scancode {
            code::LEFT_SHIFT => self.left_shift = pressed,
            code::RIGHT_SHIFT => self.right_shift = pressed,
            code::CONTROL => self.control = pressed,
            code::ALT => self.alt = pressed,
            code::CAPS if pressed => return self.set_caps(!self.caps),
            _ => {}
        }
        if !pressed {
            return None;
        }
        Some(Input::Key(match scancode {
            code::TAB if self.alt => return None,
            code::TAB if self.shift() => Key::BackTab,
            code::TAB => Key::Tab,
            code::ENTER | code::PAD_ENTER => Key::Enter,
            code::ESCAPE => Key::Escape,
            code::BACKSPACE => Key::Backspace,
            code::DELETE => Key::Delete,
            code::LEFT => Key::Left,
            code::RIGHT => Key::Right,
            code::UP => Key::Up,
            code::DOWN => Key::Down,
            code::HOME => Key::Home,
            code::END => Key::End,
            _ => return None,
        }))
    }

    /// A character was typed. No backend says whether Caps Lock is on when the screen comes up, so a letter
    /// whose case does not fit Shift tells.
    pub fn text(&mut self, character: char) -> (Option<Input>, Option<Input>) {
        if character.is_control() || self.control && !self.alt {
            return (None, None);
        }
        let caps = match (character.is_uppercase(), character.is_lowercase()) {
            (true, false) => self.set_caps(!self.shift()),
            (false, true) => self.set_caps(self.shift()),
            _ => None,
        };
        (caps, Some(Input::Text(character)))
    }

    /// The window lost the keyboard: whatever was held may be let go of elsewhere.
    pub fn let_go(&mut self) {
        *self = Self {
            caps: self.caps,
            ..Self::default()
        };
    }

    fn set_caps(&mut self, caps: bool) -> Option<Input> {
        (std::mem::replace(&mut self.caps, caps) != caps).then_some(Input::Caps(caps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_meaning_with_shift_and_without() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.key(code::TAB, true), Some(Input::Key(Key::Tab)));
        assert_eq!(keyboard.key(code::TAB, false), None);
        keyboard.key(code::RIGHT_SHIFT, true);
        assert_eq!(
            keyboard.key(code::TAB, true),
            Some(Input::Key(Key::BackTab))
        );
        keyboard.let_go();
        assert_eq!(keyboard.key(code::TAB, true), Some(Input::Key(Key::Tab)));
        assert_eq!(keyboard.key(0x10, true), None);
    }

    #[test]
    fn caps_lock_is_told_by_its_key_and_by_letters() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.key(code::CAPS, true), Some(Input::Caps(true)));
        assert_eq!(keyboard.key(code::CAPS, false), None);
        assert_eq!(keyboard.text('A'), (None, Some(Input::Text('A'))));
        assert_eq!(
            keyboard.text('a'),
            (Some(Input::Caps(false)), Some(Input::Text('a')))
        );
        keyboard.key(code::LEFT_SHIFT, true);
        assert_eq!(
            keyboard.text('b'),
            (Some(Input::Caps(true)), Some(Input::Text('b')))
        );
        assert_eq!(keyboard.text('1'), (None, Some(Input::Text('1'))));
    }

    #[test]
    fn a_shortcut_types_nothing() {
        let mut keyboard = Keyboard::default();
        keyboard.key(code::CONTROL, true);
        assert_eq!(keyboard.text('v'), (None, None));
        // AltGr comes as both on some systems, and is how “@” is typed on many keyboards.
        keyboard.key(code::ALT, true);
        assert_eq!(keyboard.text('@'), (None, Some(Input::Text('@'))));
        assert_eq!(keyboard.text('\u{8}'), (None, None));
    }
}
