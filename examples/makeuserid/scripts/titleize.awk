# Puts each word into title case: "aDA lovelace" becomes "Ada Lovelace".
{
    for (i = 1; i <= NF; i++) $i = toupper(substr($i, 1, 1)) tolower(substr($i, 2))
    print
}
