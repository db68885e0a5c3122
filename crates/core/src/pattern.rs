//! Patterns of names, in which `*` stands for any characters.

/// Whether one of the patterns names `name`.
#[must_use]
pub fn any_names(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| is_named(pattern, name))
}

fn is_named(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        // The first place leaves most for the pieces behind it.
        let Some(at) = left.find(piece) else { return false };
        left = left.get(at + piece.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_what_it_spells_with_anything_at_its_stars() {
        let named = [
            ("a", "a"),
            ("*", ""),
            ("*", "anything"),
            ("web-*", "web-"),
            ("web-*", "web-1"),
            ("*-db", "main-db"),
            ("a*b*c", "abc"),
            ("a*b*c", "a1b2b3c"),
            ("a**c", "abc"),
            ("*b*", "abc"),
            ("ä*", "äö"),
        ];
        for (pattern, name) in named {
            assert!(is_named(pattern, name), "{pattern} {name}");
        }
        let unnamed = [
            ("", "a"),
            ("a", "ab"),
            ("a", ""),
            ("web-*", "web"),
            ("web-*", "xweb-1"),
            ("*-db", "main-db2"),
            ("a*b*c", "acb"),
            ("a*a", "a"),
            ("ab*b", "ab"),
        ];
        for (pattern, name) in unnamed {
            assert!(!is_named(pattern, name), "{pattern} {name}");
        }
    }
}
