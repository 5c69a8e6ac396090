//! Reading the elements of a JSON array that comes in pieces, without holding all of it.

use livestore_cf_protocol::MAX_MESSAGE_BYTES;

/// What is no array of messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArrayError {
    #[error("a message of more than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("something else than a list of messages")]
    NoArray,
    #[error("bytes that are no text")]
    NoText,
    #[error("a list that has no end")]
    CutShort,
}

/// Cuts an array into its elements, which are objects.
#[derive(Debug, Default)]
pub(crate) struct ArrayReader {
    place: Place,
    /// What has come of an element.
    element: Vec<u8>,
    /// How many brackets of it are open.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Within,
    After,
}

impl ArrayReader {
    /// Takes some bytes, and hands out the elements that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, ArrayError> {
        let mut elements = Vec::new();
        for byte in bytes {
            if self.depth == 0 {
                self.between(*byte)?;
                continue;
            }
            self.element.push(*byte);
            if self.element.len() > MAX_MESSAGE_BYTES {
                return Err(ArrayError::TooLong);
            }
            self.within(*byte);
            if self.depth == 0 {
                let element = String::from_utf8(std::mem::take(&mut self.element));
                elements.push(element.map_err(|_| ArrayError::NoText)?);
            }
        }
        Ok(elements)
    }

    /// Tells whether everything has come.
    pub(crate) fn end(&self) -> Result<(), ArrayError> {
        if self.place == Place::After { Ok(()) } else { Err(ArrayError::CutShort) }
    }

    fn between(&mut self, byte: u8) -> Result<(), ArrayError> {
        match (self.place, byte) {
            (_, b' ' | b'\t' | b'\r' | b'\n') | (Place::Within, b',') => {}
            (Place::Before, b'[') => self.place = Place::Within,
            (Place::Within, b']') => self.place = Place::After,
            (Place::Within, b'{') => {
                self.element.push(byte);
                self.depth = 1;
            }
            _ => return Err(ArrayError::NoArray),
        }
        Ok(())
    }

    fn within(&mut self, byte: u8) {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_come_out_as_they_are_wherever_they_are_cut() {
        let elements = [r#"{"a":"]}\\\"{","b":[{}]}"#, "{}", r#"{"é":"\u005d"}"#];
        let text = format!(" [{} ,\n{},{}] ", elements[0], elements[1], elements[2]);
        for cut in 0..=text.len() {
            let mut reader = ArrayReader::default();
            let mut found = reader.feed(&text.as_bytes()[..cut]).unwrap();
            found.extend(reader.feed(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(found, elements, "cut at {cut}");
            reader.end().unwrap();
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (text, error) in [
            ("{}", ArrayError::NoArray),
            ("[1]", ArrayError::NoArray),
            ("[]x", ArrayError::NoArray),
            ("[{\"\u{fffd}\"}", ArrayError::CutShort),
            ("", ArrayError::CutShort),
            ("[{", ArrayError::CutShort),
        ] {
            let mut reader = ArrayReader::default();
            let fed = reader.feed(text.as_bytes());
            assert_eq!(fed.and_then(|_| reader.end()), Err(error), "{text}");
        }
        let long = format!("[{{\"{}", "x".repeat(MAX_MESSAGE_BYTES));
        assert_eq!(ArrayReader::default().feed(long.as_bytes()), Err(ArrayError::TooLong));
        assert_eq!(ArrayReader::default().feed(b"[{\xff}]"), Err(ArrayError::NoText));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let mut reader = ArrayReader::default();
            for piece in pieces {
                if reader.feed(&piece).is_err() {
                    break;
                }
            }
        }
    }
}
