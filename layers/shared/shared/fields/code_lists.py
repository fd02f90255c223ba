"""Code lists that requests are checked against."""

# ISO 3166-1 alpha-2, with XK for Kosovo (user-assigned, in general use).
COUNTRIES = tuple(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ"
    " CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO"
    " FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE"
    " JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO"
    " MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW"
    " PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM"
    " TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW".split()
)

# ISO 4217 (list one, 2026), the codes of money in circulation: the Bulgarian lev ended with 2025, the guilder of
# Curaçao and Sint Maarten (XCG) began in 2025. Funds, metals and units of account are left out.
_CURRENCIES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP"
    " CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF"
    " IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD"
    " MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB"
    " RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD"
    " UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
).split()
_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()
_WITH_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND".split()

# The number of decimals of each currency.
DECIMALS = {
    **dict.fromkeys(_CURRENCIES, 2),
    **dict.fromkeys(_WITHOUT_DECIMALS, 0),
    **dict.fromkeys(_WITH_THREE_DECIMALS, 3),
}
CURRENCIES = tuple(DECIMALS)

# ITU-T E.164: country codes of one and of two digits; all others have three.
_SHORT_CODES = "[17]|2[07]|3[0123469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
# Countries and networks whose subscriber numbers may begin with 0: Italy and the Vatican, Ivory Coast, Burkina Faso,
# Niger, Benin, Gabon, Congo, San Marino, satellite phones, Tajikistan; and Rwanda's landlines (libphonenumber 9.0.42;
# its numbers that are free to call, such as 0800, belong to no person).
_ZERO_BELONGS = "39|225|226|227|229|241|242|25006|378|379|881|992"

# The zero that is dialled only inside a country, written after the country code: such a number can't be reached.
TRUNK_ZERO = rf"\+(?!{_ZERO_BELONGS})(?:(?:{_SHORT_CODES})|(?!{_SHORT_CODES})[0-9]{{3}})0"
