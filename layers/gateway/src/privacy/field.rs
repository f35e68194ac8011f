//! Which fields are personal, by their name in any style.

use super::Part;
use model::IdentityKind;

/// Longest name of a personal field, without its separators.
const NAME_MAX: usize = 24;

/// What a field's name says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing personal.
    Plain,
    /// An object about a person: `name` inside it is a person's name.
    Person,
    /// A business id: numbers become text, so that one id has one form.
    Id,
    /// Identifies a person: becomes a token.
    Identity(IdentityKind),
    /// An IP address.
    Ip,
    /// Personal or secret: goes.
    Personal,
}

/// Judges a field by its name.
pub(super) fn of(name: &str, part: Part) -> Field {
    let mut buffer = [0_u8; NAME_MAX];
    let Some(plain) = normalise(name, &mut buffer) else { return Field::Plain };
    match plain {
        b"email" | b"emailaddress" | b"mail" | b"useremail" | b"customeremail" | b"contactemail" => {
            Field::Identity(IdentityKind::Email)
        }
        b"phone" | b"phonenumber" | b"mobile" | b"mobilephone" | b"mobilenumber" | b"telephone" | b"tel"
        | b"cellphone" => Field::Identity(IdentityKind::Phone),
        b"loyaltycard" | b"loyaltycardnumber" | b"membercard" => Field::Identity(IdentityKind::Card),
        b"ip" | b"ipaddress" | b"remoteip" | b"clientip" => Field::Ip,
        b"firstname"
        | b"lastname"
        | b"middlename"
        | b"fullname"
        | b"surname"
        | b"givenname"
        | b"familyname"
        | b"birthday"
        | b"birthdate"
        | b"dateofbirth"
        | b"dob"
        | b"address"
        | b"streetaddress"
        | b"street"
        | b"address1"
        | b"address2"
        | b"billingaddress"
        | b"shippingaddress"
        | b"deliveryaddress"
        | b"homeaddress"
        | b"password"
        | b"passwd"
        | b"pwd"
        | b"creditcard"
        | b"creditcardnumber"
        | b"cardnumber"
        | b"cvv"
        | b"cvc"
        | b"iban"
        | b"ssn"
        | b"socialsecuritynumber"
        | b"passport"
        | b"passportnumber"
        | b"accesstoken"
        | b"authtoken" => Field::Personal,
        b"name" | b"username" | b"nickname" | b"displayname" | b"avatar" if part == Part::Traits => Field::Personal,
        b"latitude" | b"longitude" if part == Part::Context => Field::Personal,
        b"customer" | b"user" | b"recipient" | b"receiver" | b"buyer" | b"person" | b"profile" | b"contact"
        | b"member" | b"traits" => Field::Person,
        b"productid" | b"sku" | b"orderid" | b"cartid" | b"checkoutid" | b"couponid" if part == Part::Properties => {
            Field::Id
        }
        _ => Field::Plain,
    }
}

/// Lower case letters and digits of a name; none when there are more than any personal field has.
fn normalise<'a>(name: &str, buffer: &'a mut [u8; NAME_MAX]) -> Option<&'a [u8]> {
    let mut length = 0;
    for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
        *buffer.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    buffer.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_in_any_style() {
        for name in
            ["firstName", "first_name", "FIRST-NAME", "First Name", "$first_name", "shippingAddress", "Password"]
        {
            assert_eq!(of(name, Part::Properties), Field::Personal, "{name}");
        }
        for name in ["email", "E-Mail", "email_address"] {
            assert_eq!(of(name, Part::Properties), Field::Identity(IdentityKind::Email), "{name}");
        }
        for name in ["query", "ship", "a_name_that_is_longer_than_any_personal_field", "", "größe"] {
            assert_eq!(of(name, Part::Properties), Field::Plain, "{name}");
        }
    }

    #[test]
    fn a_name_is_personal_where_it_is_a_persons() {
        assert_eq!(of("name", Part::Traits), Field::Personal);
        assert_eq!(of("name", Part::Properties), Field::Plain);
        assert_eq!(of("name", Part::Context), Field::Plain);
    }
}
