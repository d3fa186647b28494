# Puts each element on a line of its own, indented by its depth.
BEGIN { RS = ">"; depth = 0 }
/^[ \t\n]*$/ { next }
{
    open = index($0, "<")
    text = substr($0, 1, open - 1)
    tag = substr($0, open)
    if (substr(tag, 2, 1) == "/") {
        depth--
        if (text != "") printf "%s%s>\n", text, tag
        else { indent(); printf "%s>\n", tag }
        leaf = 0
    } else {
        if (leaf) printf "\n"
        indent()
        printf "%s>", tag
        depth++
        leaf = 1
    }
}
function indent(i) { for (i = 0; i < depth; i++) printf "  " }
