#include "fix/codec.h"
#include "fix/dictionary.h"

/* Formats as the standard's list of data types has them. */

static inline bool digit(uint8_t c)
{
    return (unsigned)c - '0' <= 9;
}

static bool all_digits(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!digit(p[i]))
            return false;
    return n > 0;
}

static bool whole(const uint8_t *p, size_t n)
{
    bool negative = n && *p == '-';
    return all_digits(p + negative, n - negative);
}

/* "23." and ".5" are numbers; "." and "-" are not, nor is anything with an exponent or a plus. */
static bool number(const uint8_t *p, size_t n)
{
    size_t i = n && *p == '-', digits = 0;
    bool point = false;
    for (; i < n; i++) {
        if (digit(p[i]))
            digits++;
        else if (p[i] == '.' && !point)
            point = true;
        else
            return false;
    }
    return digits > 0;
}

static int two(const uint8_t *p)
{
    return digit(p[0]) && digit(p[1]) ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

static bool date(const uint8_t *p)
{
    static const uint8_t LENGTH[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century = two(p), rest = two(p + 2), month = two(p + 4), day = two(p + 6);
    if (century < 0 || rest < 0 || month < 1 || month > 12 || day < 1)
        return false;
    int year = century * 100 + rest;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= LENGTH[month - 1] + (month == 2 && leap);
}

static bool utc_time(const uint8_t *p, size_t n)
{
    int64_t ignored;
    return qd_parse_time(p, n, &ignored) == 0;
}

static bool timestamp(const uint8_t *p, size_t n)
{
    return n >= 17 && date(p) && p[8] == '-' && utc_time(p + 9, n - 9);
}

/* YYYYMM, YYYYMMDD, or YYYYMMw1 to w5. */
static bool month_year(const uint8_t *p, size_t n)
{
    if (n == 6)
        return all_digits(p, 6) && two(p + 4) >= 1 && two(p + 4) <= 12;
    if (n != 8)
        return false;
    if (p[6] != 'w')
        return date(p);
    return month_year(p, 6) && p[7] >= '1' && p[7] <= '5';
}

/* Z, or an offset of hh or hh:mm. */
static bool zone(const uint8_t *p, size_t n)
{
    if (n == 1)
        return *p == 'Z';
    if ((n != 3 && n != 6) || (*p != '+' && *p != '-') || two(p + 1) < 0 || two(p + 1) > 14)
        return false;
    return n == 3 || (p[3] == ':' && two(p + 4) >= 0 && two(p + 4) <= 59);
}

/* HH:MM, seconds and their decimals at will, then the zone. */
static bool tz_time(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && (digit(p[i]) || p[i] == ':' || p[i] == '.'))
        i++;
    if (i == n || !zone(p + i, n - i))
        return false;
    if (i == 5)
        return two(p) >= 0 && two(p) <= 23 && p[2] == ':' && two(p + 3) >= 0 && two(p + 3) <= 59;
    return utc_time(p, i);
}

/* Not only ISO 4217: coins have codes of three letters and more, some with a digit, point, dash or underscore. */
static bool currency(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!digit(p[i]) && (unsigned)(p[i] | 32) - 'a' > 25 && p[i] != '.' && p[i] != '-' && p[i] != '_')
            return false;
    return n > 0;
}

static bool letters(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned)(p[i] | 32) - 'a' > 25)
            return false;
    return n > 0;
}

/* Words set apart by one blank; `longest` limits their length. */
static bool words(const uint8_t *p, size_t n, size_t longest)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        length = p[i] == ' ' ? 0 : length + 1;
        if (length > longest || (p[i] == ' ' && (i == 0 || i == n - 1 || p[i - 1] == ' ')))
            return false;
    }
    return n > 0;
}

bool qd_format_ok(int type, const uint8_t *p, size_t n)
{
    switch (type) {
    case QD_INT: return whole(p, n);
    case QD_COUNT: case QD_LENGTH: return all_digits(p, n);
    case QD_DAY: return all_digits(p, n) && n <= 2 && (n == 1 ? *p >= '1' : two(p) >= 1 && two(p) <= 31);
    case QD_FLOAT: return number(p, n);
    case QD_CHAR: return n == 1;
    case QD_BOOLEAN: return n == 1 && (*p == 'Y' || *p == 'N');
    case QD_WORDS: return words(p, n, n);
    case QD_CHARS: return words(p, n, 1);
    case QD_CURRENCY: return currency(p, n);
    case QD_COUNTRY: case QD_LANGUAGE: return n == 2 && letters(p, n);
    case QD_TIMESTAMP: return timestamp(p, n);
    case QD_TIME: return utc_time(p, n);
    case QD_LOCAL_TIME: return n == 8 && utc_time(p, n);
    case QD_DATE: return n == 8 && date(p);
    case QD_MONTH_YEAR: return month_year(p, n);
    case QD_TZ_TIME: return tz_time(p, n);
    case QD_TZ_TIMESTAMP: return n >= 15 && date(p) && p[8] == '-' && tz_time(p + 9, n - 9);
    default: return true;
    }
}
