//! PostgreSQL's array literals, such as `{a,"b c",NULL}`: one dimension; anything else is left as text.

use std::borrow::Cow;

/// The elements of a one-dimensional array; none when the text has another form.
pub(crate) fn elements(text: &str) -> Option<Vec<Option<Cow<'_, str>>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut found = Vec::new();
    if inner.is_empty() {
        return Some(found);
    }
    let mut rest = inner;
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (element, after) = quoted_element(quoted)?;
            found.push(Some(element));
            after
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let element = &rest[..end];
            if element.is_empty() || element.contains(['{', '}', '"', '\\']) {
                return None;
            }
            found.push((element != "NULL").then_some(Cow::Borrowed(element)));
            &rest[end..]
        };
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// Reads up to the closing quote.
fn quoted_element(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let plain = text.find(['"', '\\'])?;
    if text.as_bytes()[plain] == b'"' {
        return Some((Cow::Borrowed(&text[..plain]), &text[plain + 1..]));
    }
    let mut out = String::from(&text[..plain]);
    let mut chars = text[plain..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(out), &text[plain + at + 1..])),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::elements;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Vec<Option<String>>> {
        elements(text).map(|list| list.into_iter().map(|element| element.map(std::borrow::Cow::into_owned)).collect())
    }

    #[test]
    fn reads_what_postgres_writes() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("{}"), Some(vec![]));
        assert_eq!(read("{a,NULL,\"NULL\"}"), Some(vec![some("a"), None, some("NULL")]));
        assert_eq!(read(r#"{"a,b","q\"\\",""}"#), Some(vec![some("a,b"), some("q\"\\"), some("")]));
        for text in ["", "{", "{{1},{2}}", "{a,}", "{\"a}", "[0:1]={1,2}", "{a\"b}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}\",\\\\a NULé]{0,20}") {
            let _ = elements(&text);
        }
    }
}
