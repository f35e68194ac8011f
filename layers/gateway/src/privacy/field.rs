//! Which fields are personal, by their name in any style.

use super::Part;
use model::IdentityKind;

/// Letters of a name that are looked at; no personal name is longer.
const NAME_MAX: usize = 64;

/// What a field's name says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing personal.
    Plain,
    /// About a person: `name` inside it is a person's name, and a text or number in its place says who.
    Person,
    /// An object about a person, such as `shipping`; a text in its place is none, such as `express`.
    Party,
    /// Goods inside an object about a person: `name` is a product's again.
    Goods,
    /// A business id: numbers become text, so that one id has one form.
    Id,
    /// Identifies a person: becomes a token.
    Identity(IdentityKind),
    /// An IP address.
    Ip,
    /// Personal or secret: goes.
    Personal,
}

/// Whom a field is about, by the words before its own: `customer_phone` is the visitor's, `recipient_phone` somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Visitor,
    Other,
}

/// Words before the name of a field that make it a person's.
const OWNERS: [(&[u8], Owner); 20] = [
    (b"customer", Owner::Visitor),
    (b"user", Owner::Visitor),
    (b"member", Owner::Visitor),
    (b"contact", Owner::Visitor),
    (b"buyer", Owner::Visitor),
    (b"shopper", Owner::Visitor),
    (b"recipient", Owner::Other),
    (b"receiver", Owner::Other),
    (b"sender", Owner::Other),
    (b"consignee", Owner::Other),
    (b"guest", Owner::Other),
    (b"friend", Owner::Other),
    (b"person", Owner::Other),
    (b"profile", Owner::Other),
    (b"payer", Owner::Other),
    (b"shipping", Owner::Other),
    (b"shipto", Owner::Other),
    (b"billing", Owner::Other),
    (b"billto", Owner::Other),
    (b"delivery", Owner::Other),
];

/// Whose phone and address are no person's.
const BUSINESSES: [&[u8]; 9] =
    [b"store", b"shop", b"warehouse", b"merchant", b"seller", b"vendor", b"supplier", b"branch", b"outlet"];
/// What makes a thing of a phone when it stands before it.
const DEVICES: [&[u8]; 5] = [b"head", b"ear", b"micro", b"smart", b"mega"];
/// What makes a thing of a phone when it stands behind it.
const TRAITS_OF_DEVICES: [&[u8]; 8] = [b"model", b"brand", b"make", b"case", b"cover", b"os", b"plan", b"colo"];
/// Ends of names that are personal whatever stands before.
const ENDS: [&[u8]; 11] = [
    b"firstname",
    b"lastname",
    b"middlename",
    b"surname",
    b"givenname",
    b"maidenname",
    b"dateofbirth",
    b"birthdate",
    b"birthday",
    b"cardnumber",
    b"passwd",
];

/// Judges a field by its name.
pub(super) fn of(name: &str, part: Part) -> Field {
    let mut buffer = [0_u8; NAME_MAX];
    let plain = normalise(name, &mut buffer);
    let field = exact(plain, part);
    if field != Field::Plain {
        return field;
    }
    let (owner, rest) = owner(plain);
    let field = match owner {
        Owner::Nobody => Field::Plain,
        Owner::Visitor | Owner::Other => exact(rest, Part::Traits),
    };
    match field {
        Field::Plain if is_personal(rest) => Field::Personal,
        Field::Plain if owner != Owner::Nobody && matches!(rest, b"info" | b"information" | b"details" | b"data") => {
            Field::Party
        }
        // Nothing but people: `guest`, `shipping_contact`.
        Field::Plain if rest.is_empty() && owner != Owner::Nobody => Field::Person,
        Field::Plain if rest.ends_with(b"recipient") || rest.ends_with(b"receiver") => Field::Person,
        Field::Plain | Field::Goods | Field::Id => Field::Plain,
        Field::Identity(_) if owner == Owner::Other => Field::Personal,
        other => other,
    }
}

/// Judges a whole name, without its digits.
fn exact(plain: &[u8], part: Part) -> Field {
    match plain {
        b"email" | b"emailaddress" | b"mail" => Field::Identity(IdentityKind::Email),
        b"phone" | b"phonenumber" | b"mobile" | b"mobilephone" | b"mobilenumber" | b"telephone" | b"tel"
        | b"cellphone" => Field::Identity(IdentityKind::Phone),
        b"loyaltycard" | b"loyaltycardnumber" | b"membercard" => Field::Identity(IdentityKind::Card),
        b"ip" | b"ipaddress" | b"remoteip" | b"clientip" => Field::Ip,
        b"fullname"
        | b"familyname"
        | b"cardholder"
        | b"cardholdername"
        | b"accountholder"
        | b"nameoncard"
        | b"dob"
        | b"addr"
        | b"street"
        | b"streetname"
        | b"housenumber"
        | b"zip"
        | b"zipcode"
        | b"postal"
        | b"postalcode"
        | b"postcode"
        | b"plz"
        | b"fax"
        | b"faxnumber"
        | b"msisdn"
        | b"whatsapp"
        | b"emailhash"
        | b"hashedemail"
        | b"pwd"
        | b"creditcard"
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
        | b"member" | b"sender" | b"consignee" | b"friend" | b"traits" | b"recipients" | b"receivers" | b"contacts"
        | b"friends" => Field::Person,
        b"shipping" | b"billing" | b"delivery" | b"shipto" | b"billto" => Field::Party,
        b"product" | b"products" | b"item" | b"items" | b"lineitems" if part == Part::Traits => Field::Goods,
        b"productid" | b"sku" | b"orderid" | b"cartid" | b"checkoutid" | b"couponid" if part == Part::Properties => {
            Field::Id
        }
        _ => Field::Plain,
    }
}

/// Takes the words that say whose a field is off the front of its name.
fn owner(mut plain: &[u8]) -> (Owner, &[u8]) {
    let mut found = Owner::Nobody;
    while let Some((owner, rest)) =
        OWNERS.iter().find_map(|(word, owner)| plain.strip_prefix(*word).map(|rest| (*owner, rest)))
    {
        // One word that means somebody else is enough.
        if found != Owner::Other {
            found = owner;
        }
        plain = rest;
    }
    (found, plain)
}

/// Whether a part of the name says that the value is personal: `address_line_1`, `alternative_phone`, `new_password`.
fn is_personal(name: &[u8]) -> bool {
    let at = |part: &[u8]| name.windows(part.len()).position(|window| window == part);
    if ENDS.iter().any(|end| name.ends_with(end)) || at(b"password").is_some() {
        return true;
    }
    let place = at(b"address").is_some() || name.ends_with(b"zipcode") || name.ends_with(b"postalcode");
    let phone = at(b"phone").is_some_and(|start| is_persons_phone(name, start));
    (place || phone) && !BUSINESSES.iter().any(|word| at(word).is_some())
}

fn is_persons_phone(name: &[u8], start: usize) -> bool {
    let (before, phone) = name.split_at(start);
    let after = phone.strip_prefix(b"phone").unwrap_or_default();
    !DEVICES.iter().any(|word| before.ends_with(word)) && !TRAITS_OF_DEVICES.iter().any(|word| after.starts_with(word))
}

/// Letters of a name in lower case, up to [`NAME_MAX`]; digits only number fields of a kind.
fn normalise<'a>(name: &str, buffer: &'a mut [u8; NAME_MAX]) -> &'a [u8] {
    let letters = name.bytes().filter(u8::is_ascii_alphabetic);
    let length = letters.zip(buffer.iter_mut()).map(|(letter, place)| *place = letter.to_ascii_lowercase()).count();
    buffer.get(..length).unwrap_or_default()
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
        for name in ["query", "ship", "a_name_that_is_longer_than_any_personal_field", "", "größe", "12"] {
            assert_eq!(of(name, Part::Properties), Field::Plain, "{name}");
        }
        assert_eq!(of(&format!("address_{}", "x".repeat(300)), Part::Properties), Field::Personal);
    }

    #[test]
    fn parts_of_a_name_tell() {
        for name in [
            "address_line_1",
            "Address2",
            "shippingAddressLine1",
            "home_address",
            "postal_code",
            "zip",
            "billing_zip_code",
            "shipping_name",
            "customerName",
            "customer_shipping_name",
            "recipient_first_name",
            "passenger_last_name",
            "user_name",
            "billing_phone",
            "alternative_phone_number",
            "recipient_email",
            "new_password",
            "gift_card_number",
            "customer_date_of_birth",
            "name_on_card",
            "delivery_postcode",
        ] {
            assert_eq!(of(name, Part::Properties), Field::Personal, "{name}");
        }
        for name in ["customer_phone", "userPhoneNumber", "contact_mobile", "Phone 2"] {
            assert_eq!(of(name, Part::Properties), Field::Identity(IdentityKind::Phone), "{name}");
        }
        assert_eq!(of("customer_email", Part::Properties), Field::Identity(IdentityKind::Email));
        assert_eq!(of("customerIp", Part::Properties), Field::Ip);
        for name in ["guest", "shipping_contact", "gift_recipient"] {
            assert_eq!(of(name, Part::Properties), Field::Person, "{name}");
        }
        assert_eq!(of("customer_details", Part::Properties), Field::Party);
    }

    #[test]
    fn words_of_the_trade_stay() {
        for name in [
            "name",
            "category_name",
            "coupon_name",
            "brand_name",
            "product_name",
            "wishlist_name",
            "file_name",
            "author_name",
            "product_family_name",
            "store_address",
            "shop_phone",
            "store_zip_code",
            "headphones",
            "phone_model",
            "phone_case_color",
            "user_agent",
            "user_id",
            "member_tier",
            "customer_type",
            "shipping_method",
            "shipping_cost",
            "delivery_date",
            "billing_cycle",
            "contact_reason",
            "email_subject",
            "display_name",
            "full",
            "profile_views",
            "city",
            "country",
        ] {
            assert_eq!(of(name, Part::Properties), Field::Plain, "{name}");
        }
        assert_eq!(of("order_id", Part::Properties), Field::Id);
    }

    #[test]
    fn a_name_is_personal_where_it_is_a_persons() {
        assert_eq!(of("name", Part::Traits), Field::Personal);
        assert_eq!(of("name", Part::Properties), Field::Plain);
        assert_eq!(of("name", Part::Context), Field::Plain);
    }
}
