//! The languages of the screen: their texts, their direction, and which one is meant by a locale.
//!
//! What always holds here: the texts are compiled in, so there is always one; a text that a language does not
//! have is said in English. `tests/language.rs` sees that none is missing.

use std::borrow::Cow;
use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

use crate::message::{Argument, Message};

/// Says that a line runs from right to left, whatever its first letter is.
const RIGHT_TO_LEFT_MARK: char = '\u{200f}';

type Bundle = FluentBundle<FluentResource>;

/// A language of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Language {
    #[default]
    English,
    German,
    French,
    Spanish,
    Italian,
    Portuguese,
    Dutch,
    Polish,
    Turkish,
    Russian,
    Ukrainian,
    Chinese,
    Japanese,
    Arabic,
    Hebrew,
}

impl Language {
    /// All of them, as they stand in the list.
    pub const ALL: [Self; 15] = [
        Self::German,
        Self::English,
        Self::Spanish,
        Self::French,
        Self::Italian,
        Self::Dutch,
        Self::Polish,
        Self::Portuguese,
        Self::Turkish,
        Self::Russian,
        Self::Ukrainian,
        Self::Hebrew,
        Self::Arabic,
        Self::Chinese,
        Self::Japanese,
    ];

    /// Its code, its name in itself, and its texts.
    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::English => ("en", "English", include_str!("../lang/en.ftl")),
            Self::German => ("de", "Deutsch", include_str!("../lang/de.ftl")),
            Self::French => ("fr", "Français", include_str!("../lang/fr.ftl")),
            Self::Spanish => ("es", "Español", include_str!("../lang/es.ftl")),
            Self::Italian => ("it", "Italiano", include_str!("../lang/it.ftl")),
            Self::Portuguese => ("pt", "Português", include_str!("../lang/pt.ftl")),
            Self::Dutch => ("nl", "Nederlands", include_str!("../lang/nl.ftl")),
            Self::Polish => ("pl", "Polski", include_str!("../lang/pl.ftl")),
            Self::Turkish => ("tr", "Türkçe", include_str!("../lang/tr.ftl")),
            Self::Russian => ("ru", "Русский", include_str!("../lang/ru.ftl")),
            Self::Ukrainian => ("uk", "Українська", include_str!("../lang/uk.ftl")),
            Self::Chinese => ("zh", "简体中文", include_str!("../lang/zh.ftl")),
            Self::Japanese => ("ja", "日本語", include_str!("../lang/ja.ftl")),
            Self::Arabic => ("ar", "العربية", include_str!("../lang/ar.ftl")),
            Self::Hebrew => ("he", "עברית", include_str!("../lang/he.ftl")),
        }
    }

    /// The code of ISO 639-1.
    pub const fn code(self) -> &'static str {
        self.parts().0
    }

    /// Its name in itself.
    pub const fn name(self) -> &'static str {
        self.parts().1
    }

    /// Its texts, as they are written in `lang/`.
    pub const fn source(self) -> &'static str {
        self.parts().2
    }

    /// Whether it is written from right to left.
    pub const fn is_right_to_left(self) -> bool {
        matches!(self, Self::Arabic | Self::Hebrew)
    }

    /// The language that a code, or a locale of POSIX or BCP 47, begins with.
    pub fn of(locale: &str) -> Option<Self> {
        let code = locale.split(['_', '-', '.', '@']).next()?;
        // As it was until 1989, and still is in some systems.
        let code = if code == "iw" { "he" } else { code };
        Self::ALL
            .into_iter()
            .find(|language| language.code().eq_ignore_ascii_case(code))
    }

    /// A locale for programs of the session.
    pub const fn posix(self) -> &'static str {
        match self {
            Self::English => "en_US.UTF-8",
            Self::German => "de_DE.UTF-8",
            Self::French => "fr_FR.UTF-8",
            Self::Spanish => "es_ES.UTF-8",
            Self::Italian => "it_IT.UTF-8",
            Self::Portuguese => "pt_PT.UTF-8",
            Self::Dutch => "nl_NL.UTF-8",
            Self::Polish => "pl_PL.UTF-8",
            Self::Turkish => "tr_TR.UTF-8",
            Self::Russian => "ru_RU.UTF-8",
            Self::Ukrainian => "uk_UA.UTF-8",
            Self::Chinese => "zh_CN.UTF-8",
            Self::Japanese => "ja_JP.UTF-8",
            Self::Arabic => "ar_EG.UTF-8",
            Self::Hebrew => "he_IL.UTF-8",
        }
    }

    /// The text with this identifier.
    pub fn text(self, id: &'static str) -> String {
        self.say(&Message::new(id))
    }

    /// A message in this language.
    pub fn say(self, message: &Message) -> String {
        let (id, arguments) = match message {
            Message::Literal(text) => return text.clone(),
            Message::Text(id, arguments) => (*id, arguments),
        };
        let mut values = FluentArgs::with_capacity(arguments.len());
        for (name, argument) in arguments {
            values.set(
                *name,
                match argument {
                    Argument::Text(text) => FluentValue::from(text.as_str()),
                    Argument::Number(number) => FluentValue::from(*number),
                    Argument::Message(message) => FluentValue::from(self.say(message)),
                },
            );
        }
        let said = self
            .format(id, &values)
            .or_else(|| Self::English.format(id, &values))
            .unwrap_or_else(|| id.to_owned());
        if self.is_right_to_left() {
            format!("{RIGHT_TO_LEFT_MARK}{said}")
        } else {
            said
        }
    }

    fn format(self, id: &str, values: &FluentArgs<'_>) -> Option<String> {
        let bundle = self.bundle();
        let pattern = bundle.get_message(id)?.value()?;
        let mut errors = Vec::new();
        let said = bundle.format_pattern(pattern, Some(values), &mut errors);
        Some(Cow::into_owned(said))
    }

    /// Read when it is needed first.
    fn bundle(self) -> &'static Bundle {
        static BUNDLES: [OnceLock<Bundle>; Language::ALL.len()] =
            [const { OnceLock::new() }; Language::ALL.len()];
        BUNDLES[self as usize].get_or_init(|| {
            let id: LanguageIdentifier = self.code().parse().unwrap_or_default();
            let mut bundle = Bundle::new_concurrent(vec![id]);
            // Where both directions meet, a name must not turn what stands around it.
            bundle.set_use_isolating(self.is_right_to_left());
            // A damaged message is left out: English stands in for it.
            let resource = match FluentResource::try_new(self.source().to_owned()) {
                Ok(resource) | Err((resource, _)) => resource,
            };
            let _ = bundle.add_resource(resource);
            bundle
        })
    }

    /// A number with one decimal.
    pub fn decimal(self, number: f64) -> String {
        let text = format!("{number:.1}");
        match self {
            Self::English | Self::Chinese | Self::Japanese | Self::Hebrew => text,
            Self::Arabic => text.replace('.', "٫"),
            _ => text.replace('.', ","),
        }
    }
}

/// The settings of a computer: a language, and the form of the time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Locale {
    /// The language, as long as nobody chooses another.
    pub language: Language,
    /// The hours go up to twelve, in English.
    pub twelve_hours: bool,
    /// The month stands before the day, in English.
    pub month_first: bool,
}

/// Where English is written with twelve hours (CLDR).
const TWELVE_HOURS: [&str; 8] = ["US", "CA", "AU", "NZ", "IN", "PK", "PH", "SG"];
/// Where the month stands first in it.
const MONTH_FIRST: [&str; 3] = ["US", "CA", "PH"];

impl Locale {
    /// Of the variables of the environment, in their order of precedence. Redox has no other setting of it.
    pub fn of_environment() -> Self {
        Self::of(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Of variables that are given by name.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let category = |name| {
            ["LC_ALL", name, "LANG"]
                .into_iter()
                .find_map(&variable)
                .unwrap_or_default()
        };
        let time = category("LC_TIME");
        let region = time.split(['.', '@']).next().unwrap_or_default();
        let region = region.split(['_', '-']).next_back().unwrap_or_default();
        Self {
            language: Language::of(&category("LC_MESSAGES")).unwrap_or_default(),
            twelve_hours: TWELVE_HOURS.contains(&region),
            month_first: MONTH_FIRST.contains(&region),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_a_language_and_how_the_time_is_written() {
        let of = |variables: &[(&str, &str)]| {
            Locale::of(|name| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Locale::default());
        assert_eq!(of(&[("LANG", "C.UTF-8")]), Locale::default());
        let german = of(&[("LANG", "de_AT.UTF-8")]);
        assert_eq!(
            (german.language, german.twelve_hours),
            (Language::German, false)
        );
        let here = of(&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "he_IL")]);
        assert_eq!((here.language, here.twelve_hours), (Language::Hebrew, true));
        assert!(here.month_first);
        let all = of(&[
            ("LANG", "en_US"),
            ("LC_TIME", "en_US"),
            ("LC_ALL", "uk_UA.UTF-8"),
        ]);
        assert_eq!(
            (all.language, all.twelve_hours),
            (Language::Ukrainian, false)
        );
        assert_eq!(Language::of("zh-Hans-CN"), Some(Language::Chinese));
        assert_eq!(Language::of("iw_IL"), Some(Language::Hebrew));
        assert_eq!(Language::of("xx"), None);
    }

    #[test]
    fn every_language_is_in_the_list_once() {
        for language in Language::ALL {
            let same = Language::ALL.iter().filter(|other| **other == language);
            assert_eq!(same.count(), 1);
            assert_eq!(Language::of(language.posix()), Some(language));
        }
    }

    #[test]
    fn a_text_that_is_missing_does_no_harm() {
        assert_eq!(Language::German.text("no-such-text"), "no-such-text");
        let without = Message::new("welcome");
        assert!(Language::English.say(&without).contains("name"));
        assert_eq!(
            Language::English.say(&without.with("name", "ana")),
            "Welcome, ana"
        );
        let literal = Message::Literal("x".to_owned());
        assert_eq!(Language::Arabic.say(&literal), "x");
        assert_eq!(Language::German.decimal(1.25), "1,2");
    }
}
