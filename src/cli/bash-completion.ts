// SPDX-License-Identifier: Apache-2.0
// The bash completion script, made from the command table. It needs nothing but bash: words are put
// together again where bash splits them at "=", and names of pods and images are asked of rkt itself.
import type { Command, Completes } from "./command.ts";
import { GLOBAL_FLAGS } from "./flag-sets.ts";
import type { FlagSpec, FlagSpecs } from "./flags.ts";
import { commandFlags, visibleFlags } from "./help.ts";

export function bashCompletion(commands: readonly Command[]): string {
  const visible = commands.filter((entry) => !entry.hidden);
  const top = visible.filter((entry) => !entry.name.includes(" "));
  const nested = visible.filter((entry) => entry.name.includes(" "));
  const names = (entries: readonly Command[]): string =>
    entries.map((entry) => entry.name.slice(entry.name.lastIndexOf(" ") + 1)).join(" ");
  const groups = top.filter((entry) => entry.group);
  return `# bash completion for rkt; made by: rkt completion bash
# shellcheck shell=bash disable=SC2034

__rkt_commands="${names(top)}"
__rkt_global_flags="${flagWords(GLOBAL_FLAGS)}"

__rkt_subcommands() {
	case "$1" in
${groups.map((group) => `	${group.name}) echo "${names(nested.filter((entry) => entry.name.startsWith(`${group.name} `)))}" ;;`).join("\n")}
	esac
}

__rkt_flags() {
	case "$1" in
${visible.map((entry) => `	"${entry.name}") echo "${flagWords(commandFlags(entry))}" ;;`).join("\n")}
	esac
}

__rkt_values() {
	case "$1" in
${valueCases(visible)}
	esac
}

__rkt_arguments() {
	case "$1" in
${argumentCases(visible)}
	*) echo none ;;
	esac
}

# Flags that take the next word as their value.
__rkt_takes_value() {
	case "$1" in
	${valueFlags(visible).join(" | ")}) return 0 ;;
	esac
	return 1
}

__rkt_complete() {
	local cur="\${COMP_WORDS[COMP_CWORD]}" flag="" command="" word i
	local -a words=()
	COMPREPLY=()

	# Put --flag=value together again, which bash takes apart at "=".
	for ((i = 1; i < COMP_CWORD; i++)); do
		word="\${COMP_WORDS[i]}"
		if [[ $word == "=" || ( \${#words[@]} -gt 0 && \${words[-1]} == --*= ) ]]; then
			if [[ \${#words[@]} -gt 0 ]]; then words[-1]+="$word"; else words+=("$word"); fi
		else
			words+=("$word")
		fi
	done
	if [[ $cur == "=" && \${#words[@]} -gt 0 ]]; then
		flag="\${words[-1]}"
		cur=""
	elif [[ \${#words[@]} -gt 0 && \${words[-1]} == --*= ]]; then
		flag="\${words[-1]%=}"
	elif [[ \${#words[@]} -gt 0 && $cur != -* ]] && __rkt_takes_value "\${words[-1]}"; then
		flag="\${words[-1]}"
	fi

	if [[ -n $flag ]]; then
		local values
		values="$(__rkt_values "$flag")"
		if [[ $values == "<file>" ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		elif [[ -n $values ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
		fi
		return
	fi

	local skip=0
	for word in "\${words[@]}"; do
		if ((skip)); then
			skip=0
		elif __rkt_takes_value "$word"; then
			skip=1
		elif [[ $word == -* ]]; then
			continue
		elif [[ -z $command ]]; then
			command="$word"
		elif [[ -n $(__rkt_subcommands "$command") ]]; then
			command+=" $word"
			break
		else
			break
		fi
	done

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(__rkt_flags "$command") $__rkt_global_flags" -- "$cur")
		if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *= ]]; then
			compopt -o nospace 2>/dev/null
		fi
		return
	fi
	local choices=""
	if [[ -z $command ]]; then
		choices="$__rkt_commands"
	elif [[ -n $(__rkt_subcommands "$command") ]]; then
		choices="$(__rkt_subcommands "$command")"
	else
		case "$(__rkt_arguments "$command")" in
		files)
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		commands) choices="$__rkt_commands" ;;
		pods) choices="$("\${COMP_WORDS[0]}" list --no-legend --full 2>/dev/null | cut -f1)" ;;
		images) choices="$("\${COMP_WORDS[0]}" image list --no-legend --full --fields=id 2>/dev/null)" ;;
		shells) choices="bash" ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
}

complete -F __rkt_complete rkt
`;
}

/** "--flag" for booleans and the like, "--flag=" where a value follows. */
function flagWords(flags: FlagSpecs): string {
  return visibleFlags(flags)
    .map(([name, flag]) => (flag.implied === undefined ? `--${name}=` : `--${name}`))
    .join(" ");
}

/** Each flag once, by name: flags of one name have the same words in all commands. */
function allFlags(commands: readonly Command[]): readonly (readonly [string, FlagSpec])[] {
  const sets = commands.map((entry) => commandFlags(entry));
  return visibleFlags(Object.assign({}, GLOBAL_FLAGS, ...sets));
}

function valueCases(commands: readonly Command[]): string {
  return allFlags(commands)
    .flatMap(([name, flag]) => {
      const words = flag.words?.join(" ") ?? (isFile(flag) ? "<file>" : undefined);
      return words === undefined ? [] : [`\t--${name}) echo "${words}" ;;`];
    })
    .join("\n");
}

function isFile(flag: FlagSpec): boolean {
  return flag.metavar === "FILE" || flag.metavar === "DIR";
}

function valueFlags(commands: readonly Command[]): string[] {
  return allFlags(commands)
    .filter(([, flag]) => flag.implied === undefined)
    .map(([name]) => `--${name}`);
}

function argumentCases(commands: readonly Command[]): string {
  const byKind = Map.groupBy(commands, (entry): Completes => entry.completes);
  byKind.delete("none");
  return [...byKind]
    .map(([kind, entries]) => {
      const names = entries.map((entry) => `"${entry.name}"`).join(" | ");
      return `\t${names}) echo ${kind} ;;`;
    })
    .join("\n");
}
