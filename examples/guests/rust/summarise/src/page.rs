//! Reads a page as it comes, and keeps what a summary needs. It knows no HTTP.

use std::collections::HashMap;

/// Bytes from which on a word, a title or the name of a tag grows no more: what is longer is known by its beginning.
const WORD_BYTES: usize = 40;
const TITLE_BYTES: usize = 200;
/// Different words that are counted one by one. Those that come after so many others are only counted together.
const WORDS_KEPT: usize = 20_000;
/// Letters of the shortest word that says something of a page.
const TELLING_LETTERS: usize = 4;

pub(crate) struct Page {
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    is_html: bool,
    /// The beginning of a letter whose rest is in the next piece.
    cut: Vec<u8>,
    place: Place,
    /// The name of the tag that is being read, as long as it matters.
    tag: String,
    /// Within `script` or `style`, which nobody reads.
    hidden: Option<String>,
    is_title: bool,
    title: String,
    word: String,
    counts: HashMap<String, u64>,
}

/// Where in the HTML.
enum Place {
    Text,
    /// Behind a `<`, in the tag's name.
    Name,
    /// In what follows the name, and in which quotes.
    Attributes(Option<char>),
    /// Behind `<!--`, after so many `-`.
    Comment(u32),
    /// Behind `&`, after so many letters.
    Entity(u32),
}

impl Page {
    pub(crate) fn new(is_html: bool) -> Self {
        Page {
            words: 0,
            bytes: 0,
            is_html,
            cut: Vec::new(),
            place: Place::Text,
            tag: String::new(),
            hidden: None,
            is_title: false,
            title: String::new(),
            word: String::new(),
            counts: HashMap::new(),
        }
    }

    pub(crate) fn read(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return text.chars().for_each(|letter| self.letter(letter)),
                Err(error) => {
                    let (text, behind) = rest.split_at(error.valid_up_to());
                    String::from_utf8_lossy(text).chars().for_each(|letter| self.letter(letter));
                    match error.error_len() {
                        None => {
                            self.cut = behind.to_vec();
                            return;
                        }
                        Some(wrong) => {
                            self.letter(char::REPLACEMENT_CHARACTER);
                            rest = &behind[wrong..];
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn end(&mut self) {
        self.end_word();
    }

    pub(crate) fn title(&self) -> Option<String> {
        let title = self.title.split_whitespace().collect::<Vec<_>>().join(" ");
        (!title.is_empty()).then_some(title)
    }

    /// The most frequent words with their counts; equals by the alphabet.
    pub(crate) fn frequent(&self, most: usize) -> Vec<(String, u64)> {
        let telling = self.counts.iter().filter(|(word, _)| word.chars().count() >= TELLING_LETTERS);
        let mut all: Vec<_> = telling.map(|(word, count)| (word.clone(), *count)).collect();
        all.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        all.truncate(most);
        all
    }

    fn letter(&mut self, letter: char) {
        match self.place {
            Place::Text => match letter {
                '<' if self.is_html => {
                    self.end_word();
                    self.tag.clear();
                    self.place = Place::Name;
                }
                '&' if self.is_html && self.hidden.is_none() => {
                    self.text(' ');
                    self.place = Place::Entity(0);
                }
                letter => self.text(letter),
            },
            Place::Name => match letter {
                '>' => self.end_tag(),
                letter if letter.is_whitespace() => self.place = Place::Attributes(None),
                letter => {
                    if self.tag.len() < WORD_BYTES {
                        self.tag.push(letter.to_ascii_lowercase());
                    }
                    if self.tag == "!--" {
                        self.place = Place::Comment(0);
                    }
                }
            },
            Place::Attributes(quotes) => match (quotes, letter) {
                (None, '>') => self.end_tag(),
                // A script's `a < b` is no tag, and its quotes are none of an attribute.
                (None, '<') if self.hidden.is_some() => {
                    self.tag.clear();
                    self.place = Place::Name;
                }
                (None, '"' | '\'') if self.hidden.is_none() => self.place = Place::Attributes(Some(letter)),
                (Some(quote), letter) if quote == letter => self.place = Place::Attributes(None),
                _ => {}
            },
            Place::Comment(dashes) => {
                self.place = match letter {
                    '-' => Place::Comment(dashes.saturating_add(1)),
                    '>' if dashes >= 2 => Place::Text,
                    _ => Place::Comment(0),
                }
            }
            Place::Entity(letters) => {
                self.place = match letter {
                    ';' => Place::Text,
                    letter if letters < 10 && (letter.is_ascii_alphanumeric() || letter == '#') => {
                        Place::Entity(letters + 1)
                    }
                    // A `&` that stands for itself.
                    letter => {
                        self.place = Place::Text;
                        return self.letter(letter);
                    }
                }
            }
        }
    }

    fn end_tag(&mut self) {
        self.place = Place::Text;
        let ends_hidden = self.tag.strip_prefix('/').is_some_and(|tag| self.hidden.as_deref() == Some(tag));
        match (&self.hidden, self.tag.as_str()) {
            (Some(_), _) if ends_hidden => self.hidden = None,
            (Some(_), _) => {}
            (None, "script" | "style") => self.hidden = Some(self.tag.clone()),
            // The first one: drawings have titles, too.
            (None, "title") => self.is_title = self.title.is_empty(),
            (None, "/title") => self.is_title = false,
            _ => {}
        }
    }

    fn text(&mut self, letter: char) {
        if self.hidden.is_some() {
            return;
        }
        if self.is_title {
            if self.title.len() < TITLE_BYTES {
                self.title.push(letter);
            }
            return;
        }
        let is_in_word = matches!(letter, '\'' | '’') && !self.word.is_empty();
        if !letter.is_alphanumeric() && !is_in_word {
            self.end_word();
        } else if self.word.len() < WORD_BYTES {
            match is_in_word {
                true => self.word.push('\''),
                false => self.word.extend(letter.to_lowercase()),
            }
        }
    }

    fn end_word(&mut self) {
        let word = self.word.trim_end_matches('\'');
        if word.is_empty() {
            return;
        }
        self.words += 1;
        if let Some(count) = self.counts.get_mut(word) {
            *count += 1;
        } else if self.counts.len() < WORDS_KEPT {
            self.counts.insert(word.to_owned(), 1);
        }
        self.word.clear();
    }
}
