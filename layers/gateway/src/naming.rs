//! Names of events: whatever the sender's style, one snake_case form.

/// Brings a name into snake_case: `Product Viewed`, `productViewed` and `product-viewed` become `product_viewed`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before: Option<char> = None;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            before = None;
            continue;
        }
        // A word begins after a gap, at `aB`, and at the last capital of `ABc`.
        let begins = match before {
            None => true,
            Some(last) if letter.is_uppercase() => {
                !last.is_uppercase() || letters.peek().is_some_and(|next| next.is_lowercase())
            }
            Some(_) => false,
        };
        if begins && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
        before = Some(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_becomes_one() {
        for (name, canonical) in [
            ("Product Viewed", "product_viewed"),
            ("productViewed", "product_viewed"),
            ("ProductViewed", "product_viewed"),
            ("product-viewed", "product_viewed"),
            ("product_viewed", "product_viewed"),
            ("  PRODUCT   VIEWED! ", "product_viewed"),
            ("URLOpened", "url_opened"),
            ("Step 2 Done", "step_2_done"),
            ("Größe Gewählt", "größe_gewählt"),
            ("$pageview", "pageview"),
            ("—!?", ""),
        ] {
            assert_eq!(snake_case(name), canonical, "{name}");
        }
    }
}
