//! Colours, light and dark.
//!
//! What always holds here: text on what it stands on has at least the contrast that WCAG 2 asks for at level
//! AA, and with high contrast at level AAA; `tests/pictures.rs` checks it on the pixels of every screen.

/// A colour with its opacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rgba {
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// 0: not there; 255: covers.
    pub a: u8,
}

/// A colour that covers.
pub const fn rgb(hex: u32) -> Rgba {
    rgba(hex, 255)
}

/// A colour that lets something through.
pub const fn rgba(hex: u32, a: u8) -> Rgba {
    Rgba {
        rgb: [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8],
        a,
    }
}

/// The colours of a screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Theme {
    /// Dark instead of light.
    pub dark: bool,
    /// High contrast: nothing shines through, and what can be done has an edge.
    pub contrast: bool,
    /// Behind everything, where there is no picture.
    pub ground: Rgba,
    /// The card and menus.
    pub card: Rgba,
    /// Around the card.
    pub edge: Rgba,
    /// Below the card.
    pub shadow: Rgba,
    /// Text on the card.
    pub text: Rgba,
    /// Text in the background.
    pub muted: Rgba,
    /// Text on the picture.
    pub on_picture: Rgba,
    /// Links.
    pub link: Rgba,
    /// The button that matters, the ring of the focus, progress.
    pub accent: Rgba,
    /// The same under the pointer.
    pub accent_hover: Rgba,
    /// Text on it.
    pub on_accent: Rgba,
    /// The ring around what the keyboard goes to.
    pub ring: Rgba,
    /// The ground of fields.
    pub field: Rgba,
    /// Around fields.
    pub field_edge: Rgba,
    /// A part under the pointer.
    pub hover: Rgba,
    /// Text of trouble, and its ground.
    pub wrong: Rgba,
    /// The ground of trouble.
    pub wrong_ground: Rgba,
    /// Text of good news.
    pub good: Rgba,
    /// The ground of good news.
    pub good_ground: Rgba,
    /// The ground of a chosen choice.
    pub chosen: Rgba,
    /// Buttons on the picture.
    pub corner: Rgba,
}

/// The dark colours.
pub const DARK: Theme = Theme {
    dark: true,
    contrast: false,
    ground: rgb(0x08_0c1e),
    card: rgba(0x10_1525, 226),
    edge: rgba(0xff_ffff, 30),
    shadow: rgba(0x00_0000, 120),
    text: rgb(0xf3_f5fb),
    muted: rgb(0xb3_bcd3),
    on_picture: rgb(0xf5_f7ff),
    link: rgb(0x9d_b9ff),
    accent: rgb(0x3b_69e6),
    accent_hover: rgb(0x2f_5bd7),
    on_accent: rgb(0xff_ffff),
    ring: rgb(0x86_a8ff),
    field: rgba(0xff_ffff, 16),
    field_edge: rgba(0xff_ffff, 46),
    hover: rgba(0xff_ffff, 20),
    wrong: rgb(0xff_bdb6),
    wrong_ground: rgba(0xff_5a4f, 34),
    good: rgb(0xa9_e8c6),
    good_ground: rgba(0x33_d08a, 28),
    chosen: rgba(0xff_ffff, 36),
    corner: rgba(0x0a_0e1c, 120),
};

/// The light colours.
pub const LIGHT: Theme = Theme {
    dark: false,
    contrast: false,
    ground: rgb(0xde_eafc),
    card: rgba(0xff_ffff, 236),
    edge: rgba(0x1b_2a55, 26),
    shadow: rgba(0x1c_2c60, 60),
    text: rgb(0x14_1b2e),
    muted: rgb(0x4d_5872),
    on_picture: rgb(0x16_2040),
    link: rgb(0x2a_52c4),
    accent: rgb(0x2f_5bd7),
    accent_hover: rgb(0x25_4dc0),
    on_accent: rgb(0xff_ffff),
    ring: rgb(0x2f_5bd7),
    field: rgba(0x1b_2a55, 10),
    field_edge: rgba(0x1b_2a55, 84),
    hover: rgba(0x1b_2a55, 16),
    wrong: rgb(0x9b_1c1c),
    wrong_ground: rgba(0xe0_3131, 22),
    good: rgb(0x0d_5c3b),
    good_ground: rgba(0x12_a066, 24),
    chosen: rgba(0xff_ffff, 255),
    corner: rgba(0xff_ffff, 150),
};

/// White and yellow on black.
pub const DARK_CONTRAST: Theme = Theme {
    dark: true,
    contrast: true,
    ground: rgb(0x00_0000),
    card: rgb(0x00_0000),
    edge: rgb(0xff_ffff),
    shadow: rgba(0x00_0000, 0),
    text: rgb(0xff_ffff),
    muted: rgb(0xff_ffff),
    on_picture: rgb(0xff_ffff),
    link: rgb(0xff_e14d),
    accent: rgb(0xff_e14d),
    accent_hover: rgb(0xff_f09a),
    on_accent: rgb(0x00_0000),
    ring: rgb(0xff_e14d),
    field: rgb(0x00_0000),
    field_edge: rgb(0xff_ffff),
    hover: rgb(0x33_3a50),
    wrong: rgb(0xff_c9c4),
    wrong_ground: rgb(0x00_0000),
    good: rgb(0xb4_f5d2),
    good_ground: rgb(0x00_0000),
    chosen: rgb(0x33_3a50),
    corner: rgb(0x00_0000),
};

/// Black and dark blue on white.
pub const LIGHT_CONTRAST: Theme = Theme {
    dark: false,
    contrast: true,
    ground: rgb(0xff_ffff),
    card: rgb(0xff_ffff),
    edge: rgb(0x00_0000),
    shadow: rgba(0x00_0000, 0),
    text: rgb(0x00_0000),
    muted: rgb(0x00_0000),
    on_picture: rgb(0x00_0000),
    link: rgb(0x00_2a8f),
    accent: rgb(0x00_2a8f),
    accent_hover: rgb(0x00_1c62),
    on_accent: rgb(0xff_ffff),
    ring: rgb(0x00_2a8f),
    field: rgb(0xff_ffff),
    field_edge: rgb(0x00_0000),
    hover: rgb(0xdc_e4f7),
    wrong: rgb(0x8a_0010),
    wrong_ground: rgb(0xff_ffff),
    good: rgb(0x00_4d2c),
    good_ground: rgb(0xff_ffff),
    chosen: rgb(0xdc_e4f7),
    corner: rgb(0xff_ffff),
};

impl Theme {
    /// The light or the dark one, with high contrast or without.
    pub const fn of(dark: bool, contrast: bool) -> Self {
        match (dark, contrast) {
            (true, false) => DARK,
            (false, false) => LIGHT,
            (true, true) => DARK_CONTRAST,
            (false, true) => LIGHT_CONTRAST,
        }
    }

    /// The colour of a person: dark enough for white initials in every theme.
    pub const fn person(self, number: u32) -> Rgba {
        if self.contrast {
            // Of the contrast that text has there; the ring around it does the rest.
            return rgb(0x1d_2f6f);
        }
        const COLOURS: [u32; 8] = [
            0x2f_5bd7, 0x0f_7285, 0x7a_3fd1, 0xa8_2f73, 0x9a_4a12, 0x2b_6f3e, 0x8f_2d2d, 0x45_4fb5,
        ];
        rgb(COLOURS[(number % 8) as usize])
    }
}

/// The contrast of two colours, from 1 to 21 (WCAG 2.2, “contrast ratio”).
pub fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// WCAG 2.2, “relative luminance”.
fn luminance(rgb: [u8; 3]) -> f64 {
    let [r, g, b] = rgb.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_as_the_standard_has_it() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([118; 3], [255; 3]) - 4.54).abs() < 0.01);
        for number in 0..8 {
            assert!(
                contrast(LIGHT.person(number).rgb, [255; 3]) >= 4.5,
                "{number}"
            );
        }
    }
}
